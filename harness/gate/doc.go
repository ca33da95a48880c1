// Package gate compares two sets of benchmark runs and decides whether the second is worse than the
// first.
//
// It reads the Go benchmark format: a line is one run of one scenario, and the run is the sample,
// since the requests within a run share queue and caches. What is judged is a cell: one unit of one
// scenario. A cell is worse when
//
//   - the one-sided U test of Mann and Whitney finds it slower, after Holm's correction over all
//     cells, and
//   - the change is larger than the unit's smallest effect of interest ([figure.Rule]), and
//   - larger than what the same server measured twice shows (the noise floor), where A/A
//     measurements of it were made.
//
// Whatever was not measured fails: a gate that passes for want of data does not guard anything. So
// do files that say that something failed in them ([Failure]), and loads that ask for different
// things are refused ([load.Identity]).
//
// A cell that is worse may be accepted ([Acceptance]): a line beside the baseline, with the date,
// the size and the reason. It does not fail again unless it is outside of the interval that was
// accepted, and the head is worse, by the same test, than a base that had changed by that much. Of
// 60 pairs that were measured anew, none that was as bad as accepted failed, and all did that were
// 10 points worse (TestAcceptedRates).
//
// # Sessions
//
// A machine is as fast as it is on that day, in all runs of a session alike, which no test among
// the runs can see. So base and head are measured in turns, A B B A, and where they were not, which
// their Session lines say, a change decides nothing that two sessions may differ by: as much as a
// noise floor of three sessions or more shows, and 40 % where there is none. Files that do not say
// are judged as if they were measured in turns, with a note.
//
// The price is in this table, of simulated pairs of a server and one that is slower in all its
// times: ten runs a side, which differ by 3 % (p95 by 4.5 and p99 by 6 %) and of which a tenth
// takes 40 % longer, in one cell or in twenty. The drift is the standard deviation of the speed
// from session to session. It is what TestSimulation prints with -simulate 200; a row is of so many
// pairs, so 5 % may be 3 to 9. (+10 % in one cell in turns is 95.3 % of 1500 pairs, and the same
// server 0.2 %.)
//
//	 head  drift  cells     sides  floor of    worse  undecided
//	 +0 %    8 %      1  in turns         0    0.5 %      0.0 %
//	 +0 %    8 %     20  in turns         0    0.0 %      0.0 %
//	 +5 %    8 %      1  in turns         0   53.0 %      0.0 %
//	+10 %    8 %      1  in turns         0   95.5 %      0.0 %
//	 +5 %    8 %     20  in turns         0   95.5 %      0.0 %
//	+10 %    8 %     20  in turns         0  100.0 %      0.0 %
//	 +0 %    8 %      1     apart         0    0.0 %     35.5 %
//	 +0 %    3 %     20     apart         0    0.0 %     19.0 %
//	 +0 %    8 %     20     apart         0    0.0 %     43.0 %
//	+10 %    8 %     20     apart         0    3.0 %     70.5 %
//	+20 %    8 %     20     apart         0   17.5 %     71.0 %
//	+50 %    8 %     20     apart         0   84.0 %     16.0 %
//	 +0 %    8 %     20     apart         3    0.5 %      0.0 %
//	 +0 %    8 %     20     apart         5    2.0 %      0.0 %
//	 +0 %    8 %     20     apart         8    3.0 %      0.0 %
//	 +0 %    3 %     20     apart         8    1.0 %      0.0 %
//	+10 %    8 %     20     apart         8   12.0 %      0.0 %
//	+20 %    8 %     20     apart         8   27.5 %      0.0 %
//	+50 %    8 %     20     apart         8   85.0 %      0.0 %
//	+10 %    3 %     20     apart         8   61.5 %      0.0 %
//	+20 %    3 %     20     apart         8   95.5 %      0.0 %
//
// The test is one-sided since worse is what a gate raises its alarm for: the 5 % of false alarms
// are all of that kind, and better, which fails nothing, has as many. Two-sided, which was used
// before, +10 % in one cell was found in 91.7 % of 1500 pairs: three slow runs of ten in the base,
// which are 7 % of bases, are then enough to hide it. One-sided as well, exchanging labels at
// random found 89.5 % with trimmed means and 97.3 % with medians, where the U test found 96.3 % of
// the same pairs: a point is not worth a test that benchstat does not have.
//
// So 10 % are found in turns and not apart; a floor of few sessions is wide, because three tell
// little of how far a fourth may lie. Undecided is exit code 2 of loadstone gate, worse is 1. Of
// the same server at 8 % drift, a gate that did not know of sessions called 28 of 100 pairs worse
// in one cell, and 43 in twenty.
package gate
