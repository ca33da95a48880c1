//go:build mlx

package metal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// benchModels are the networks of the benchmarks. Those that are not on this machine are skipped.
var benchModels = []string{"smollm2", "gemma3-270m"}

const benchBlock = 32

func openBench(b *testing.B, name string, opt options, blocks int) *Model {
	b.Helper()
	m, err := open(realModel(b, name), opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	if err := m.AllocKV(blocks, blocks, benchBlock); err != nil {
		b.Fatal(err)
	}
	writeAll(b, m)
	return m
}

// writeAll fills the KV cache with zeros. Memory that was never written costs a step more, since
// the system finds it then, up to 3 ms for each 2 MB on a virtual machine; and costs less to read,
// since all of it is one page of zeros.
func writeAll(b *testing.B, m *Model) {
	b.Helper()
	global, sliding := m.KVBytesPerToken()
	zeros := make([]byte, m.blockTokens*(global+sliding))
	for i := range m.blocks {
		if err := m.WriteKV(i, i, m.blockTokens, zeros); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteKV writes a block of 32 tokens as a restore does, of the global layers alone.
func BenchmarkWriteKV(b *testing.B) {
	for _, name := range benchModels {
		b.Run("model="+name, func(b *testing.B) {
			const blocks = 1024
			m := openBench(b, name, options{}, blocks)
			global, _ := m.KVBytesPerToken()
			src := make([]byte, benchBlock*global)
			b.SetBytes(int64(len(src)))
			for i := 0; b.Loop(); i++ {
				if err := m.WriteKV(i%blocks, -1, benchBlock, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrefill is one step over a whole prompt, with logits of its last token only.
func BenchmarkPrefill(b *testing.B) {
	for _, name := range benchModels {
		for _, graph := range []bool{false, true} {
			b.Run(fmt.Sprintf("model=%s/graph=%t", name, graph), func(b *testing.B) {
				m := openBench(b, name, options{graph: graph}, 2048/benchBlock)
				ids := randomTokens(1, 2048, m.Vocab())
				for _, n := range []int{128, 512, 2048} {
					b.Run(fmt.Sprintf("prompt=%d", n), func(b *testing.B) {
						for b.Loop() {
							stepLast(b, m, &sequence{ids: ids, table: consecutive(0, n)}, n)
						}
						b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tok/s")
					})
				}
			})
		}
	}
}

// BenchmarkDecode is one greedy token for each sequence of a batch. All have histories of one
// length.
func BenchmarkDecode(b *testing.B) {
	for _, name := range benchModels {
		for _, graph := range []bool{false, true} {
			b.Run(fmt.Sprintf("model=%s/graph=%t", name, graph), func(b *testing.B) {
				const maxBlocks = 4096/benchBlock + 1
				m := openBench(b, name, options{graph: graph}, 8*maxBlocks)
				for _, history := range []int{128, 4096} {
					for _, batch := range []int{1, 4, 8} {
						name := fmt.Sprintf("history=%d/batch=%d", history, batch)
						b.Run(name, func(b *testing.B) {
							benchDecode(b, m, history, batch, func(i int) []int32 {
								return consecutive(i*maxBlocks, history+1)
							})
						})
					}
				}
				b.Run("history=4096/batch=1/blocks=scattered", func(b *testing.B) {
					benchDecode(b, m, 4096, 1, func(int) []int32 {
						table := consecutive(0, 4097)
						for i := range table {
							table[i] = int32(len(table)-1-i) * 2
						}
						return table
					})
				})
			})
		}
	}
}

// BenchmarkBeside measures a step with a greedy token of some streams and a chunk of another
// sequence's prompt. A scheduler has to know how much time the chunk adds.
func BenchmarkBeside(b *testing.B) {
	const history = 128
	for _, name := range benchModels {
		b.Run("model="+name, func(b *testing.B) {
			m := openBench(b, name, options{}, 256)
			for _, streams := range []int{1, 4} {
				for _, before := range []int{0, 1024, 2048} {
					for _, chunk := range []int{0, 1, 2, 3, 4, 6, 8, 12, 16, 32, 64} {
						name := fmt.Sprintf("streams=%d/before=%d/chunk=%d", streams, before, chunk)
						b.Run(name, func(b *testing.B) {
							benchBeside(b, m, streams, history, before, chunk)
						})
					}
				}
			}
		})
	}
}

func benchBeside(b *testing.B, m *Model, streams, history, before, chunk int) {
	var tokens, lens, starts, tables, picks []int32
	for i := range streams {
		tokens, lens = append(tokens, int32(100+i)), append(lens, 1)
		starts, picks = append(starts, int32(history)), append(picks, int32(i))
		tables = append(tables, consecutive(100+8*i, history+1)...)
	}
	if chunk > 0 {
		tokens = append(tokens, randomTokens(1, chunk, m.Vocab())...)
		lens, starts = append(lens, int32(chunk)), append(starts, int32(before))
		tables = append(tables, consecutive(0, before+chunk)...)
	}
	best := make([]int32, streams)
	for b.Loop() {
		if err := m.Step(tokens, lens, starts, tables, tables, nil, nil, picks, best); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreams measures a prompt of 512 tokens for each of some streams, in one step, and then
// 64 greedy tokens of each, as benchdata/peers/run shapes measures other engines. It takes the
// model folder that LOADSTONE_BENCH_FOLDER names.
func BenchmarkStreams(b *testing.B) {
	const prompt, answer = 512, 64
	dir := os.Getenv("LOADSTONE_BENCH_FOLDER")
	if dir == "" {
		b.Skip("LOADSTONE_BENCH_FOLDER names no model folder")
	}
	m, err := open(dir, options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	const blocks = (prompt + answer + benchBlock - 1) / benchBlock
	if err := m.AllocKV(4*blocks, 4*blocks, benchBlock); err != nil {
		b.Fatal(err)
	}
	writeAll(b, m)
	ids := randomTokens(1, prompt, m.Vocab())
	for _, streams := range []int{1, 4} {
		// step takes the same tokens for all streams.
		step := func(tokens []int32, start int) {
			var all, lens, starts, tables, picks []int32
			for i := range streams {
				all, lens = append(all, tokens...), append(lens, int32(len(tokens)))
				starts = append(starts, int32(start))
				tables = append(tables, consecutive(i*blocks, start+len(tokens))...)
				picks = append(picks, int32(len(all)-1))
			}
			best := make([]int32, streams)
			err := m.Step(all, lens, starts, tables, tables, nil, nil, picks, best)
			if err != nil {
				b.Fatal(err)
			}
		}
		name := fmt.Sprintf("model=%s/streams=%d", filepath.Base(dir), streams)
		b.Run("part=prefill/"+name, func(b *testing.B) {
			for b.Loop() {
				step(ids, 0)
			}
			tokens := float64(prompt * streams * b.N)
			b.ReportMetric(tokens/b.Elapsed().Seconds(), "tok/s")
		})
		b.Run("part=decode/"+name, func(b *testing.B) {
			for b.Loop() {
				for i := range answer {
					step([]int32{int32(100 + i)}, prompt+i)
				}
			}
			steps := float64(answer*b.N) / b.Elapsed().Seconds()
			b.ReportMetric(float64(streams)*steps, "tok/s")
			b.ReportMetric(float64(m.decodeBytes())*steps/1e9, "GB/s")
		})
	}
}

// BenchmarkKV compares the formats of the KV cache: a prompt of 512 tokens, and one token after
// histories of several lengths, up to the network's context. KV-MB is the part of the cache that
// such a token reads.
func BenchmarkKV(b *testing.B) {
	for _, name := range benchModels {
		for _, kv := range []string{"f32", "f16", "q8", "q4"} {
			b.Run(fmt.Sprintf("model=%s/kv=%s", name, kv), func(b *testing.B) {
				m := openBench(b, name, options{Options: Options{KV: kv}}, 32768/benchBlock)
				ids := randomTokens(1, 512, m.Vocab())
				b.Run("prompt=512", func(b *testing.B) {
					for b.Loop() {
						s := &sequence{ids: ids, table: consecutive(0, len(ids))}
						stepLast(b, m, s, len(ids))
					}
				})
				global, sliding := m.KVBytesPerToken()
				for _, history := range []int{1024, 4096, m.Context() - 1} {
					b.Run(fmt.Sprintf("history=%d", history), func(b *testing.B) {
						benchDecode(b, m, history, 1, func(int) []int32 {
							return consecutive(0, history+1)
						})
						seen := min(history, m.Window())
						b.ReportMetric(float64(history*global+seen*sliding)/1e6, "KV-MB")
					})
				}
			})
		}
	}
}

// BenchmarkActivations compares activations of 8 and of 16 bits: a prompt of 512 tokens, and one
// token after 128 others.
func BenchmarkActivations(b *testing.B) {
	for _, name := range benchModels {
		for _, bits := range []int{8, 16} {
			b.Run(fmt.Sprintf("model=%s/activations=%d", name, bits), func(b *testing.B) {
				opt := options{Options: Options{Activations: bits}}
				m := openBench(b, name, opt, 512/benchBlock)
				ids := randomTokens(1, 512, m.Vocab())
				b.Run("prompt=512", func(b *testing.B) {
					for b.Loop() {
						s := &sequence{ids: ids, table: consecutive(0, len(ids))}
						stepLast(b, m, s, len(ids))
					}
				})
				b.Run("history=128", func(b *testing.B) {
					benchDecode(b, m, 128, 1, func(int) []int32 { return consecutive(0, 129) })
				})
			})
		}
	}
}

// benchDecode decodes the same position again and again. The cache holds zeros, which take as long
// as other numbers.
func benchDecode(b *testing.B, m *Model, history, batch int, table func(i int) []int32) {
	var tokens, lens, starts, tables, picks []int32
	for i := range batch {
		tokens, lens, starts = append(tokens, int32(100+i)), append(lens, 1),
			append(starts, int32(history))
		tables, picks = append(tables, table(i)...), append(picks, int32(i))
	}
	best := make([]int32, batch)
	for b.Loop() {
		if err := m.Step(tokens, lens, starts, tables, tables, nil, nil, picks, best); err != nil {
			b.Fatal(err)
		}
	}
	steps := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(float64(batch)*steps, "tok/s")
	// Of weights; BenchmarkMemory measures the limit.
	b.ReportMetric(float64(m.decodeBytes())*steps/1e9, "GB/s")
}

// consecutive returns a table of consecutive blocks for n tokens.
func consecutive(first, n int) []int32 {
	table := make([]int32, (n+benchBlock-1)/benchBlock)
	for i := range table {
		table[i] = int32(first + i)
	}
	return table
}
