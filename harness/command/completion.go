package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"loadstone/engine/catalog"
	"loadstone/harness/scenario"
	"loadstone/server/service"
)

const completionAbout = `Writes a script by which a shell completes loadstone's commands, flags and their values.`

const completionExamples = `  source <(loadstone completion bash)             # for this shell; or the same line in ~/.bashrc
  loadstone completion zsh > "${fpath[1]}/_loadstone"
  loadstone completion fish > ~/.config/fish/completions/loadstone.fish
`

func completion(ctx context.Context, e *env, args []string) error {
	f := flags("completion", completionAbout, completionExamples, e.stdout)
	if err := f.parse(args); err != nil {
		return err
	}
	write := map[string]func(io.Writer, []completed){
		"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[f.Arg(0)]
	if write == nil || f.NArg() != 1 {
		return usageError("want one of: loadstone completion %s", findCommand("completion").args)
	}
	all, err := completions(ctx)
	if err != nil {
		return err
	}
	write(e.stdout, all)
	return nil
}

// completed says what can follow the name of a command.
type completed struct {
	command, summary string
	flags            []completedFlag
	words            []string // the arguments that it takes; nil: files
}

// completedFlag says what can follow a flag.
type completedFlag struct {
	name, usage string
	hasValue    bool
	values      []string // nil: files, where it has a value
}

// completions reads the help of every command, which lists all flags.
func completions(ctx context.Context) ([]completed, error) {
	models := []string{}
	for _, m := range catalog.Models() {
		models = append(models, m.Name)
	}
	values := map[string][]string{
		"model":    models,
		"backend":  service.BackendValues(),
		"scenario": scenario.Names(),
		"suite":    scenario.SuiteNames(),
	}
	words := map[string][]string{
		"model":      {"list", "pull", "import", "path"},
		"completion": {"bash", "zsh", "fish"},
	}
	var all []completed
	for _, c := range commands() {
		done := completed{command: c.name, summary: c.summary, words: words[c.name]}
		switch c.name {
		case "help":
			done.words = topicNames()
			for _, other := range commands() {
				done.words = append(done.words, other.name)
			}
		case "version":
			done.words = []string{}
			fallthrough
		default:
			text, err := helpOf(ctx, c)
			if err != nil {
				return nil, err
			}
			done.flags = helpFlags(text, values)
		}
		all = append(all, done)
	}
	return all, nil
}

// helpOf is what a command's -h prints.
func helpOf(ctx context.Context, c command) (string, error) {
	var text bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &text, stderr: &text}
	if code := exitCode(c.run(ctx, e, []string{"-h"}), io.Discard); code != exitOK {
		return "", fmt.Errorf("%s -h ended with %d", c.name, code)
	}
	return text.String(), nil
}

// A flag in the help that package helptext prints: its name, what its value is called, and in the
// next lines what it is for.
var helpFlag = regexp.MustCompile(`(?m)^  -([a-z0-9-]+)( [^\t\n]+)?(?:\n    )?\t(.*(?:\n    \t.*)*)$`)

func helpFlags(help string, values map[string][]string) []completedFlag {
	var all []completedFlag
	for _, m := range helpFlag.FindAllStringSubmatch(help, -1) {
		usage, _, _ := strings.Cut(strings.ReplaceAll(m[3], "\n    \t", " "), "; ")
		usage, _, _ = strings.Cut(usage, " (default")
		flag := completedFlag{name: m[1], usage: usage, hasValue: m[2] != "", values: values[m[1]]}
		all = append(all, flag)
	}
	return all
}

func flagNames(flags []completedFlag) string {
	var names []string
	for _, f := range flags {
		names = append(names, "-"+f.name)
	}
	return strings.Join(names, " ")
}

func commandNames(all []completed) string {
	var names []string
	for _, c := range all {
		names = append(names, c.command)
	}
	return strings.Join(names, " ")
}

func bashCompletion(w io.Writer, all []completed) {
	fmt.Fprintf(w, `# bash completion for loadstone
_loadstone() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flags= words= files=
	COMPREPLY=()
	if (( COMP_CWORD == 1 )); then
		COMPREPLY=($(compgen -W '%s' -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]} in
`, commandNames(all))
	for _, c := range all {
		fmt.Fprintf(w, "\t%s)\n", c.command)
		if len(c.flags) > 0 {
			fmt.Fprint(w, "\t\tcase $before in\n")
			var files []string
			for _, f := range c.flags {
				switch {
				case f.values != nil:
					fmt.Fprintf(w, "\t\t-%[1]s|--%[1]s) "+
						"COMPREPLY=($(compgen -W '%[2]s' -- \"$word\")); return ;;\n",
						f.name, strings.Join(f.values, " "))
				case f.hasValue:
					files = append(files, "-"+f.name, "--"+f.name)
				}
			}
			if files != nil {
				fmt.Fprintf(w, "\t\t%s) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n",
					strings.Join(files, "|"))
			}
			fmt.Fprintf(w, "\t\tesac\n\t\tflags='%s'\n", flagNames(c.flags))
		}
		if c.words != nil {
			fmt.Fprintf(w, "\t\twords='%s'\n", strings.Join(c.words, " "))
		} else {
			fmt.Fprint(w, "\t\tfiles=1\n")
		}
		fmt.Fprint(w, "\t\t;;\n")
	}
	fmt.Fprint(w, `	esac
	if [[ $word == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$word"))
	elif [[ $files ]]; then
		COMPREPLY=($(compgen -f -- "$word"))
	else
		COMPREPLY=($(compgen -W "$words" -- "$word"))
	fi
}
complete -o filenames -F _loadstone loadstone
`)
}

// zshQuote makes text safe inside zsh's single quotes and its specs, where brackets and colons mean
// something.
func zshQuote(s string) string {
	return strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

func zshCompletion(w io.Writer, all []completed) {
	fmt.Fprint(w, `#compdef loadstone
# zsh completion for loadstone
_loadstone() {
	local -a commands=(
`)
	for _, c := range all {
		fmt.Fprintf(w, "\t\t'%s:%s'\n", c.command, zshQuote(c.summary))
	}
	fmt.Fprint(w, `	)
	if (( CURRENT == 2 )); then
		_describe command commands
		return
	fi
	local command=$words[2]
	shift words
	(( CURRENT-- ))
	case $command in
`)
	for _, c := range all {
		fmt.Fprintf(w, "\t%s)\n\t\t_arguments", c.command)
		for _, f := range c.flags {
			action := ""
			switch {
			case f.values != nil:
				action = fmt.Sprintf(":value:(%s)", strings.Join(f.values, " "))
			case f.hasValue:
				action = ":value:_files"
			}
			fmt.Fprintf(w, " \\\n\t\t\t'-%s[%s]%s'", f.name, zshQuote(f.usage), action)
		}
		if c.words != nil {
			fmt.Fprintf(w, " \\\n\t\t\t'*:word:(%s)'", strings.Join(c.words, " "))
		} else {
			fmt.Fprint(w, " \\\n\t\t\t'*:file:_files'")
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	// As a file in fpath, the script is the function's own body; sourced, it must register it.
	fmt.Fprint(w, `	esac
}
if [[ $funcstack[1] == _loadstone ]]; then
	_loadstone "$@"
else
	compdef _loadstone loadstone
fi
`)
}

func fishQuote(s string) string { return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) }

func fishCompletion(w io.Writer, all []completed) {
	fmt.Fprint(w, "# fish completion for loadstone\ncomplete -c loadstone -f\n")
	for _, c := range all {
		fmt.Fprintf(w, "complete -c loadstone -n __fish_use_subcommand -a %s -d '%s'\n",
			c.command, fishQuote(c.summary))
		after := fmt.Sprintf("complete -c loadstone -n '__fish_seen_subcommand_from %s'", c.command)
		if c.words == nil {
			fmt.Fprintf(w, "%s -F\n", after)
		} else if len(c.words) > 0 {
			fmt.Fprintf(w, "%s -a '%s'\n", after, strings.Join(slices.Compact(c.words), " "))
		}
		for _, f := range c.flags {
			value := ""
			switch {
			case f.values != nil:
				value = fmt.Sprintf(" -x -a '%s'", strings.Join(f.values, " "))
			case f.hasValue:
				value = " -r"
			}
			fmt.Fprintf(w, "%s -o %s%s -d '%s'\n", after, f.name, value, fishQuote(f.usage))
		}
	}
}
