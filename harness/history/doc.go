// Package history finds since when a server is slower: the change points of every scenario and unit
// over the commits of a program.
//
// # Measurements
//
// A measurement is one file in the Go benchmark format. It has two sides, the runs of a commit and
// of another one that was measured in turns with it on the same machine, as loadstone gate does:
//
//	side: base
//	commit: 562fff0e…          then all that bench.txt has: Session, Load and Unit lines, the machine,
//	commit-date: 2026-11-24T…  and the runs
//	side: head
//	commit: e64beb2a…
//
// What counts is the ratio of the two, so that machines may differ from file to file. A ratio is
// the estimate of package gate (Hodges and Lehmann, with its interval); hit ratios, which are
// judged by points, have differences. A file with one side, a bench.txt, works as well, if all are
// of one machine; what changed may then be the machine.
//
// A level is a commit's ratio to the commit that most were measured beside. Where another one was
// the base, its own level is multiplied in. The base is best the same for all: then the errors of
// two commits have nothing in common. In a chain, each commit measured beside the one before,
// errors add up: of 100 commits of the same speed the last is off by 20 % where each ratio is by
// 2 %.
//
// golang.org/x/perf/benchseries has such ratios too, and the files are ones that it can read. It is
// not used, because it orders by one date a comparison and knows no chains, finds no change points,
// draws its intervals at random, and brings gonum's plotting with it.
//
// # Changes
//
// Change points are proposed by [Finder]: E-divisive means (Matteson and James, A Nonparametric
// Approach for Multiple Change Point Analysis of Multivariate Data, 2014) in windows and with
// Student's t-test (Fleming and others, Hunter: Using Change Point Detection to Hunt for
// Performance Regressions, 2023). It is Apache Otava 0.8.0's algorithm: TestOtava has the same
// change points, means and p on 200 series made from seeds and on 20 real ones, each with four
// settings.
//
// What is reported differs from Otava in five ways. Points are proposed in windows of a half and of
// a quarter of the size as well, because whole windows often miss a slowdown that a later commit
// undoes.
// Otava's variances are divided by n where the t-test wants n-1, and when it drops a point it
// leaves the one before with the mean up to the dropped point; so each proposed change is tested
// again by Welch's test, between its neighbours of that moment, and the weakest is dropped until
// all hold. Its standard error is the larger of how the commits scatter and of what the runs of the
// measurements leave open, which counts errors that many commits share. A level that only one
// commit has is not a change. And in a chain, whose levels are a random walk and so not fit for
// windows, a change is a ratio that is significant by itself.
//
// This is what TestSimulation prints with -v -simulate 200: 200 series a row, of 100 or 20 commits
// whose ratios have an error of 2 %, which is what ten runs a side leave that differ by 4 %. Found
// is a step within three commits, so 80 % may be 74 to 86. The false alarms, in 1000 commits, are
// those of this package and of Otava's algorithm alone, both with the defaults; a step of 3 % that
// is seen four commits off is one of them.
//
//	   noise  step  commits   measured    found   false  Otava's
//	  normal   +0 %      100   one base        –    0.65     0.65
//	  skewed   +0 %      100   one base        –    0.80     3.25
//	outliers   +0 %      100   one base        –    1.95     3.30
//	   alike   +0 %      100   one base        –   11.70    10.75
//	   drift   +0 %      100   one base        –    1.95     2.10
//	  normal   +0 %       20   one base        –    0.00     0.50
//	  normal   +0 %      100    a chain        –    0.25    63.10
//	  normal   +3 %      100   one base   82.0 %    2.05     2.25
//	  skewed   +3 %      100   one base   91.5 %    0.70     3.10
//	outliers   +3 %      100   one base   46.0 %    3.30     6.25
//	  normal   +5 %      100   one base  100.0 %    0.15     0.50
//	  skewed   +5 %      100   one base   99.0 %    0.75     2.60
//	outliers   +5 %      100   one base   87.5 %    2.00     3.20
//	   alike   +5 %      100   one base   90.0 %    9.85    13.75
//	   drift   +5 %      100   one base   98.5 %    1.00     1.70
//	  normal  +10 %      100   one base   99.5 %    0.30     0.35
//	outliers  +10 %      100   one base   98.0 %    1.85     2.75
//	  normal  +10 %       30   one base   89.0 %    0.00     0.50
//	  normal   +5 %       20   one base   83.0 %    0.00     0.25
//	  normal  +10 %       20   one base   97.5 %    0.00     1.25
//	  normal   +5 %      100    a chain    7.0 %    0.15    58.45
//	  normal  +10 %      100    a chain   76.0 %    0.20    59.65
//
// Skewed is a lognormal, alike has a correlation of 0.5 between neighbours, drift are 2 % in 100
// commits by no single one, and of the outliers, one commit in twenty, each is off by 12 %. In the
// row of 30 commits the step is taken back after six. So among a hundred commits a step of 5 % is
// found and one of 3 % mostly, among twenty one of 10 %. Where neighbours are alike, as results of
// one machine by themselves are from day to day, one commit in 100 raises a false alarm; ratios
// measured in turns have little of that. A chain finds only what one measurement can show.
//
// p is that of one change point, at a place that was chosen because it looks like one, and there
// are as many series as scenarios times units.
package history
