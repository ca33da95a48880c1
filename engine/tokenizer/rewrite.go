package tokenizer

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// rewrite writes a template so that gonja can parse it. Each conditional expression becomes one that goes anywhere: gonja knows
// "A if C else B" only as the whole of {{ }} or {% set %}, and no chain of them; Gemma 3's template has one in
// parentheses. (((C) and [A]) or [B])[0] means the same and evaluates no more of it.
func rewrite(source string, cfg *config.Config) string {
	lexer := tokens.NewLexer(source, cfg)
	r := rewriter{source: lexer.Input}
	stream := tokens.LexAll(source, cfg)
	for !stream.End() && stream.Current().Type != tokens.Error {
		r.toks = append(r.toks, stream.Current())
		stream.Next()
	}
	if len(r.toks) == 0 || stream.Current().Type == tokens.Error {
		return source // the parser will say what is wrong
	}
	var out strings.Builder
	at := 0 // how far of the source has been written
	for i := 0; i < len(r.toks); i++ {
		from := i + 1
		statement := r.toks[i].Type == tokens.BlockBegin
		if !statement && r.toks[i].Type != tokens.VariableBegin {
			continue
		}
		for i < len(r.toks) && r.toks[i].Type != tokens.VariableEnd && r.toks[i].Type != tokens.BlockEnd {
			i++
		}
		if statement && from < i {
			if plain, ok := withoutGeneration[r.toks[from].Val]; ok {
				out.WriteString(r.source[at:r.toks[from].Pos] + plain)
				at = r.toks[from].Pos + len(r.toks[from].Val)
			}
			from++ // the statement's name
		}
		if i == len(r.toks) || from >= i {
			continue
		}
		// {% for a in b if c %} filters with its if.
		filters := statement && r.toks[from-1].Val == "for"
		out.WriteString(r.source[at:r.toks[from].Pos])
		out.WriteString(r.list(from, i, !filters))
		at = r.toks[i].Pos
	}
	// A template ends without its last newline, which the lexer has taken already and will take again.
	return out.String() + r.source[at:] + "\n"
}

// withoutGeneration is what stands for transformers' own statement, which marks what the assistant says for training.
var withoutGeneration = map[string]string{"generation": "if true", "endgeneration": "endif"}

type rewriter struct {
	source string
	toks   []*tokens.Token
}

// text is the source from token i up to token j, the space before j included.
func (r *rewriter) text(i, j int) string { return r.source[r.toks[i].Pos:r.toks[j].Pos] }

// list rewrites tokens [i, j), expressions that commas, colons and assignments separate.
func (r *rewriter) list(i, j int, conditionals bool) string {
	var out strings.Builder
	start := i
	for k := i; k < j; k = r.skip(k, j) {
		switch r.toks[k].Type {
		case tokens.Comma, tokens.Colon, tokens.Assign:
			out.WriteString(r.expression(start, k, conditionals))
			out.WriteString(r.text(k, k+1))
			start = k + 1
		}
	}
	out.WriteString(r.expression(start, j, conditionals))
	return out.String()
}

// expression rewrites tokens [i, j), one expression.
func (r *rewriter) expression(i, j int, conditionals bool) string {
	test, alternative := j, j
	for k := i; k < j && conditionals; k = r.skip(k, j) {
		if r.toks[k].Type != tokens.Name {
			continue
		}
		if r.toks[k].Val == "if" && test == j {
			test = k
		}
		if r.toks[k].Val == "else" && test < j {
			alternative = k
			break
		}
	}
	if test == j {
		return r.groups(i, j)
	}
	otherwise := "''"
	if alternative < j {
		otherwise = r.expression(alternative+1, j, true)
	}
	return "(((" + r.groups(test+1, alternative) + ") and [" + r.groups(i, test) + "]) or [" + otherwise + "])[0] "
}

// groups copies tokens [i, j), rewriting what is in brackets.
func (r *rewriter) groups(i, j int) string {
	var out strings.Builder
	for k := i; k < j; {
		next := r.skip(k, j)
		if next > k+1 {
			out.WriteString(r.text(k, k+1))
			out.WriteString(r.list(k+1, next-1, true))
			out.WriteString(r.text(next-1, next))
		} else {
			out.WriteString(r.text(k, next))
		}
		k = next
	}
	return out.String()
}

// skip returns the token after token i, or after its closing bracket if it opens one that closes before j.
func (r *rewriter) skip(i, j int) int {
	depth := 0
	for k := i; k < j; k++ {
		switch r.toks[k].Type {
		case tokens.LeftParenthesis, tokens.LeftBracket, tokens.LeftBrace:
			depth++
		case tokens.RightParenthesis, tokens.RightBracket, tokens.RightBrace:
			depth--
		}
		if depth <= 0 {
			return k + 1
		}
	}
	return i + 1
}
