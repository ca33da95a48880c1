package build

import "testing"

// Only a pseudo-version names a commit.
func TestPseudoCommit(t *testing.T) {
	for version, want := range map[string]string{
		"v0.0.0-20261129114720-e64beb2aaaaa":         "e64beb2aaaaa",
		"v1.2.4-0.20261129114720-e64beb2aaaaa+dirty": "e64beb2aaaaa",
		"v1.3.0-rc.1.0.20261129114720-e64beb2aaaaa":  "e64beb2aaaaa",
		"v1.2.3":       "",
		"v1.2.3-rc.1":  "",
		"":             "",
		"v2026.1.1-12": "",
	} {
		if got := pseudoCommit(version); got != want {
			t.Errorf("%q names commit %q, want %q", version, got, want)
		}
	}
}
