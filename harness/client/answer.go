package client

import (
	"io"
	"time"

	"loadstone/harness/record"
)

// A Piece is a part of an answer's body that arrived at one moment.
type Piece struct {
	At   time.Duration
	Text []byte
}

// ReadAnswer makes the record of an answer that somebody else has received, in pieces, with status
// 200: what it says and counts, how it ended, and when its tokens came. Of the record's other times
// it knows nothing.
func ReadAnswer(api API, contentType string, pieces []Piece) record.Record {
	body := &piecewise{pieces: pieces}
	c := &Client{API: api, clock: body.now}
	r := record.Unsent(record.Place{})
	var p Prompt
	var err error
	if isEventStream(contentType) {
		err = c.stream(body, &p, &r)
	} else {
		p.NoStream = true
		err = c.whole(body, contentType, &p, &r)
	}
	if err != nil {
		r.Error = message(err.Error())
		if r.Outcome == "" {
			r.Outcome = record.Truncated
		}
	}
	return r
}

// piecewise reads pieces, one at a time.
type piecewise struct {
	pieces []Piece
	at     time.Duration
	read   int // bytes of the first piece
}

func (b *piecewise) now() time.Duration { return b.at }

func (b *piecewise) Read(p []byte) (int, error) {
	for len(b.pieces) > 0 && b.read == len(b.pieces[0].Text) {
		b.pieces, b.read = b.pieces[1:], 0
	}
	if len(b.pieces) == 0 {
		return 0, io.EOF
	}
	b.at = b.pieces[0].At
	n := copy(p, b.pieces[0].Text[b.read:])
	b.read += n
	return n, nil
}
