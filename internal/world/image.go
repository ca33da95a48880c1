package world

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"
)

// An image is everything that an instance of the guest is made of when none of its functions runs:
// Go keeps its stacks in the memory.
type image struct {
	memory  []byte // without the zeros at its end
	size    int    // with them
	fixed   int    // bytes at the beginning that are the program's and never written
	globals []uint64
}

const pageSize = 64 << 10 // of WebAssembly

// warmUp is an episode that uses a little of everything, so that what packages make when they are
// first used, such as how a type is read from JSON, is made before the image is taken.
const warmUp = `seed 0
world principals=ann,bob save=50ms seal=yes
0s ann/a1 create durable=yes
0s ann/a1 turn api=chat stream=yes max=3 say=moon durable=wait
0s ann/a1 turn api=messages stream=yes max=3 say=lamp read=slow
0s ann/a1 turn api=responses stream=no max=3 say=salt
1s ann/a1 pin
1s ann/a1 export
1s ann/a1 import
1s bob/a1 turn api=generate stream=no max=3 say=bell
1s bob/-x flood n=4 max=2 say=bell
1s bob/-x stats
`

// start runs the start of the guest's runtime and packages, warms up, and returns what that leaves.
// It begins at the same moment for each guest.
func (g *Guest) start(ctx context.Context) (*image, error) {
	var out bytes.Buffer
	h := &host{random: random("start"), in: strings.NewReader(warmUp), out: &out}
	ctx = context.WithValue(ctx, logKey{}, &out)
	m, err := g.runtime.InstantiateModule(ctx, g.module, g.config(h))
	if err != nil {
		return nil, err
	}
	defer m.Close(ctx)
	if _, err := m.ExportedFunction("_initialize").Call(ctx); err != nil {
		return nil, fmt.Errorf("the start of the guest: %w\n%s", err, out.Bytes())
	}
	cold := take(m, 0)
	in := &instance{episode: m.ExportedFunction("episode")}
	from, _, err := in.play(ctx)
	if err != nil {
		return cold, nil // it fails in the episodes too, which say more of it
	}
	return take(m, from), nil
}

// take returns an image of an instance none of whose functions runs.
func take(m api.Module, fixed int) *image {
	all, _ := m.Memory().Read(0, m.Memory().Size())
	i := &image{memory: bytes.Clone(bytes.TrimRight(all, "\x00")), size: len(all), fixed: fixed}
	for n := range globals {
		i.globals = append(i.globals, m.ExportedGlobal(globalName(n)).Get())
	}
	return i
}

// An instance is a guest that plays episodes one after another, each from the image.
type instance struct {
	module  api.Module
	episode api.Function
	host    *host
	written int // up to which address its memory may have been written; 0: no image is in it yet
}

// instance returns an instance that no episode has, with the image in it.
func (g *Guest) instance(ctx context.Context) (*instance, error) {
	in, ok := g.instances.take()
	if !ok {
		h := new(host)
		m, err := g.runtime.InstantiateModule(ctx, g.module, g.config(h))
		if err != nil {
			return nil, err
		}
		in = &instance{module: m, episode: m.ExportedFunction("episode"), host: h}
	}
	if err := in.restore(g.started); err != nil {
		in.module.Close(ctx)
		return nil, err
	}
	return in, nil
}

// release gives back an instance whose episode has come to its end. A memory does not shrink: the
// guest's runtime asks for more only where there is less than it needs (see changes), so that it
// does not see how much there is.
func (g *Guest) release(in *instance) {
	g.instances.put(in)
}

// play plays an episode, and returns the addresses between which it may have written.
func (in *instance) play(ctx context.Context) (from, to int, err error) {
	results, err := in.episode.Call(ctx)
	if err != nil {
		return 0, 0, err
	}
	return int(results[0] >> 32), int(uint32(results[0])), nil
}

// restore puts an image into the instance. What the last episode may have written behind it becomes
// zero.
func (in *instance) restore(i *image) error {
	memory := in.module.Memory()
	if size := int(memory.Size()); size < i.size {
		if _, ok := memory.Grow(uint32((i.size - size) / pageSize)); !ok {
			return fmt.Errorf("the guest's memory does not grow to %d bytes", i.size)
		}
	}
	all, _ := memory.Read(0, memory.Size())
	from := i.fixed
	if in.written == 0 {
		from, in.written = 0, len(all)
	}
	copy(all[from:], i.memory[from:])
	clear(all[len(i.memory):max(in.written, len(i.memory))])
	for n, v := range i.globals {
		in.module.ExportedGlobal(globalName(n)).(api.MutableGlobal).Set(v)
	}
	return nil
}

// globals is how many global variables a program of Go has: the registers of its machine.
const globals = 8

func globalName(n int) string { return fmt.Sprintf("global%d", n) }

// exportGlobals returns a program of Go whose global variables are exported, so that the host can
// read and set them.
func exportGlobals(code []byte) ([]byte, error) {
	const exports, global, header = 7, 3, 8 // a section, a kind of export, the file's
	var with []byte
	for n := range globals {
		name := globalName(n)
		with = append(append(with, byte(len(name))), name...)
		with = append(with, global, byte(n))
	}
	for at := header; at < len(code); {
		body, size := binary.Uvarint(code[at+1:])
		if size <= 0 || body > uint64(len(code)) {
			break
		}
		begin := at + 1 + size
		end := begin + int(body)
		if code[at] != exports || end > len(code) {
			at = end
			continue
		}
		count, size := binary.Uvarint(code[begin:end])
		section := binary.AppendUvarint(nil, count+globals)
		section = slices.Concat(section, code[begin+size:end], with)
		return slices.Concat(code[:at+1], binary.AppendUvarint(nil, uint64(len(section))), section,
			code[end:]), nil
	}
	return nil, errors.New("the guest is not a program in WebAssembly that exports functions")
}
