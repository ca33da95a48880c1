package tokenizer

// alphabet is GPT-2's: it gives the character that stands for each byte in a byte-level vocabulary.
// Printable bytes stand for themselves; the other bytes, in order, are U+0100 and up.
var alphabet = func() (a [256]rune) {
	next := rune(256)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			a[b] = b
			continue
		}
		a[b] = next
		next++
	}
	return a
}()

// unalphabet is the inverse of alphabet; it is -1 for characters that stand for no byte.
var unalphabet = func() (u [324]int16) {
	for i := range u {
		u[i] = -1
	}
	for b, r := range alphabet {
		u[r] = int16(b)
	}
	return u
}()

// alphabetBytes appends the bytes that a token of a byte-level vocabulary stands for. It returns
// false, and dst unchanged, if some character of the token stands for no byte.
func alphabetBytes(dst []byte, token string) ([]byte, bool) {
	n := len(dst)
	for _, r := range token {
		if int(r) >= len(unalphabet) || unalphabet[r] < 0 {
			return dst[:n], false
		}
		dst = append(dst, byte(unalphabet[r]))
	}
	return dst, true
}
