package ci_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// firstLines is the one expression that gh knows here: ids and first lines of comments.
const firstLines = `.[] | [.id, (.body | split("\n")[0] | rtrimstr("\r"))] | @tsv`

// gh is GitHub's tool, as far as comment-github.sh uses it: gh api [--paginate] [--silent]
// [--method METHOD] PATH [--jq EXPRESSION] [-F body=@FILE], against GITHUB_API_URL.
func gh(args []string) error {
	if len(args) == 0 || args[0] != "api" {
		return errors.New("want api")
	}
	method, path, body, jq := http.MethodGet, "", "", ""
	for i := 1; i < len(args); i++ {
		value := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch arg := args[i]; arg {
		case "--paginate", "--silent":
		case "--method":
			method = value()
		case "--jq":
			jq = value()
		case "-F":
			name, ok := strings.CutPrefix(value(), "body=@")
			text, err := os.ReadFile(name)
			if !ok || err != nil {
				return fmt.Errorf("-F %s: %w", args[i], err)
			}
			body = string(text)
		default:
			if strings.HasPrefix(arg, "-") || path != "" {
				return fmt.Errorf("unknown argument %s", arg)
			}
			path = arg
		}
	}
	text, err := json.Marshal(map[string]string{"body": body})
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, os.Getenv("GITHUB_API_URL")+"/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "token "+os.Getenv("GH_TOKEN"))
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return errors.New(response.Status)
	}
	if jq == "" {
		return nil
	}
	if jq != firstLines {
		return fmt.Errorf("unknown expression %s", jq)
	}
	var comments []struct {
		ID   int
		Body string
	}
	if err := json.NewDecoder(response.Body).Decode(&comments); err != nil {
		return err
	}
	for _, c := range comments {
		first, _, _ := strings.Cut(c.Body, "\n")
		fmt.Printf("%d\t%s\n", c.ID, strings.TrimSuffix(first, "\r"))
	}
	return nil
}
