// Package verify holds a measurement's results to themselves, long after it and on another machine:
// a folder that bench or run wrote, or the same files in a bundle, one zip.
//
// [Bundle.Verify] computes every figure and verdict again from the records, makes every file that
// is made of them again and compares it byte for byte, makes the requests again from the load's
// seeds, and checks that nothing was lost: each request has one outcome, the client's own count of
// its requests is that of the records, the server's pool holds as much after a run as before it.
//
// # What finds which change
//
// The manifest has the SHA-256 of every other file, so a byte that is changed, a file that is
// added, taken away or put in another's place is named, with the first figure, record or line that
// differs. Who changes a file and the manifest as well is found out by what is made again:
// results.json has the sums of the records, and all other files are made of both.
//
// Who changes a record, and then has everything else made again as [WriteManifest] and the forms
// do, has made up results that agree with themselves. Only a signature shows that ([Sign]): the
// manifest's, by a key that the reader knows. It shows who vouches for the results, not that they
// were measured: the signer could have made them up.
//
// What is not in the records is held to its sum alone: the name of the machine and the model, the
// client's calibration, what the server said it counted, how long it took to start, the logs, the
// pages of a soak, and the texts of answers, whose digests are in the records.
//
// # Other versions
//
// A program that is another one than measured may write the same report in another form. Where its
// bytes differ, the figures of results.json, bench.txt and the tables are compared one by one, and
// the pages are held to their sums alone; Outcome.Notes says so. Results of versions that wrote no
// manifest are verified as far as their files go. A format that is not known is refused by name.
package verify
