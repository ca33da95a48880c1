package tokenizer

import (
	"strings"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// rewrite changes a template so that gonja can parse it. gonja understands "A if C else B" only as
// the whole of {{ }} or {% set %}, and no chain of them, but Gemma 3's template has one in
// parentheses. So each conditional expression becomes (((C) and [A]) or [B])[0], which may stand
// anywhere, has the same value and evaluates the same parts.
func rewrite(source string, cfg *config.Config) string {
	lexer := tokens.NewLexer(source, cfg)
	r := rewriter{source: lexer.Input}
	stream := tokens.LexAll(source, cfg)
	for !stream.End() && stream.Current().Type != tokens.Error {
		r.toks = append(r.toks, stream.Current())
		stream.Next()
	}
	if len(r.toks) == 0 || stream.Current().Type == tokens.Error {
		return source // the parser reports the error
	}
	var out strings.Builder
	at := 0 // the source before this offset has been written
	for i := 0; i < len(r.toks); i++ {
		from := i + 1
		statement := r.toks[i].Type == tokens.BlockBegin
		if !statement && r.toks[i].Type != tokens.VariableBegin {
			continue
		}
		for i < len(r.toks) && r.toks[i].Type != tokens.VariableEnd &&
			r.toks[i].Type != tokens.BlockEnd {
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
		// The if of {% for a in b if c %} is a filter, not a conditional expression.
		filters := statement && r.toks[from-1].Val == "for"
		out.WriteString(r.source[at:r.toks[from].Pos])
		out.WriteString(r.list(from, i, !filters))
		at = r.toks[i].Pos
	}
	// The lexer drops the last newline of a template. It has dropped one here and will drop one
	// again.
	return out.String() + r.source[at:] + "\n"
}

// withoutGeneration replaces transformers' own statement generation, which marks the assistant's
// text for training.
var withoutGeneration = map[string]string{"generation": "if true", "endgeneration": "endif"}

// rewriter holds a template and its tokens.
type rewriter struct {
	source string
	toks   []*tokens.Token
}

// text is the source from the beginning of token i to the beginning of token j.
func (r *rewriter) text(i, j int) string { return r.source[r.toks[i].Pos:r.toks[j].Pos] }

// list rewrites tokens [i, j), which are expressions separated by commas, colons and assignments.
// conditionals says whether an if among them makes a conditional expression.
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

// expression rewrites tokens [i, j), which are one expression.
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
	return "(((" + r.groups(test+1, alternative) + ") and [" + r.groups(i, test) + "]) or [" +
		otherwise + "])[0] "
}

// groups copies tokens [i, j) and rewrites the expressions in brackets.
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

// skip returns the index after token i, or, if token i is a bracket that closes before j, the index
// after the closing one.
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
