package workers

import "loadstone/harness/load"

// OverTheWire is a load as a worker gets it.
func OverTheWire(l load.Load) (load.Load, error) {
	sent := bulkOf(&l)
	text, err := encoded(sent)
	if err != nil {
		return l, err
	}
	got := &bulk{}
	if err := decode(text, got); err != nil {
		return l, err
	}
	got.into(&l)
	return l, nil
}
