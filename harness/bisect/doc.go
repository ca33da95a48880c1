// Package bisect finds the commit at which a server got worse, on a machine whose measurements are
// noisy.
//
// A bisection that believes each measurement goes astray at the first one that is wrong, and halves
// what is left of the wrong half. So nothing is decided by one measurement: [Search] keeps how
// probable every hypothesis is, and measures the commit that is expected to tell the most for each
// second that it costs.
//
// # Model
//
// A session measures a commit's build against the good one, in turns (see [harness.Duel]); each
// round gives the logarithm of how many times as bad the build was. The rounds scatter about the
// session's own level by Student's t with three degrees of freedom, which forgives outliers; its
// scale is learned from the differences of rounds of one session. The session's level scatters
// about the build's, since what is common to all rounds of a session (where processes came to lie,
// a neighbour, autocorrelation) does not average out within it; that scale is a hypothesis as well.
// The build's level scatters about the level of its commits by 0.5 %, since builds that do the same
// differ in where their code came to lie; measuring one build again does not average that out.
//
// The level of commits is 0 from the good one on, and changes at none of them, at one, at two or at
// three (a priori with probability 0.10, 0.798, 0.07 and 0.03), or it drifts: each commit makes it
// worse by the same (0.002). All levels are integrated out. A single change makes it worse by half
// of the smallest change that matters or more, and so does a drift in all. Commits that were not
// measured share what is known of their gap, so the posterior is over sets of gaps.
//
// A change is named where it is as probable as asked, no commit between it and the one before can
// be measured, and both were measured in two sessions or more. Before it stops, the search makes
// sure that further changes are improbable (0.2). A drift is told where it is as probable as asked,
// and no gap without a measurement has more than an eighth of the commits, since two or three
// changes look like a drift where little was measured.
//
// # What it finds
//
// This table is of simulated histories of 64 commits. A build takes a minute, a session of four
// rounds 80 s. A run's time scatters by 2 %, on top of a drift of 2 % that stays from run to run by
// 0.8; 8 of 100 runs take 40 % longer; sessions of one build differ by 0.6 % and builds that do the
// same by 0.4 %. "Right" is that every commit that is named made it worse, and one is named;
// "wrong" that one is named that did not. "Spent" is that the search said that the budget was too
// small. It is what TestSimulation prints with -simulate 100; a row is of so many histories, so 2 %
// may be 0 to 7.
//
//	history                             budget   right   wrong   spent  no change  drifts   steps    time
//	3 to 10 %                              4 h  100.0 %   0.0 %   0.0 %      0.0 %   0.0 %      24    40 m
//	3 to 10 %                              2 h  98.0 %   0.0 %   2.0 %      0.0 %   0.0 %      23    39 m
//	3 to 10 %                              1 h  85.0 %   0.0 %  15.0 %      0.0 %   0.0 %      20    35 m
//	3 to 10 %, a tenth does not build      4 h  100.0 %   0.0 %   0.0 %      0.0 %   0.0 %      23    39 m
//	3 to 10 %, twice the noise             4 h  89.0 %   0.0 %  11.0 %      0.0 %   0.0 %      69   101 m
//	3 to 10 %, builds differ by 1 %        4 h  97.0 %   2.0 %   1.0 %      0.0 %   0.0 %      27    44 m
//	3 %                                    4 h  97.0 %   1.0 %   2.0 %      0.0 %   0.0 %      66    97 m
//	5 %                                    4 h  100.0 %   0.0 %   0.0 %      0.0 %   0.0 %      23    39 m
//	10 %                                   4 h  100.0 %   0.0 %   0.0 %      0.0 %   0.0 %      12    24 m
//	twice as slow                          1 h  100.0 %   0.0 %   0.0 %      0.0 %   0.0 %      11    23 m
//	6 % twice                              6 h  99.0 %   1.0 %   0.0 %      0.0 %   0.0 %      28    49 m
//	8 %, then 4 % better                   6 h  100.0 %   0.0 %  19.0 %      0.0 %   0.0 %      61    93 m
//	no change                              4 h   0.0 %   0.0 %   1.0 %     99.0 %   0.0 %      35    52 m
//	0.1 % with each commit                 4 h   0.0 %   3.0 %   0.0 %      0.0 %  97.0 %      77   118 m
//
// "0.1 % with each commit" is 6.6 % in all, and no commit changes anything by as much as matters.
// "Drifts" is that the search said so; a commit that is named counts as wrong, although it is among
// those that made it worse. Without the drift among its hypotheses, the search spent its four hours
// on 46 of 48 such histories, and named one commit on two.
//
// In "6 % twice" and "8 %, then 4 % better" both changes are planted, and all that are named must
// be among those that made it worse. Where the budget is spent, the search continues in simulation
// on histories that it holds for likely, and says how long half of these took.
package bisect
