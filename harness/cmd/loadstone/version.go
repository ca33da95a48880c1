package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"loadstone/metal"
)

func version(_ context.Context, e *env, args []string) error {
	if len(args) > 0 {
		return usageError("version takes no arguments")
	}
	v, commit := buildVersion()
	if v == "" {
		v = "(development)"
	}
	if commit != "" {
		v += " " + commit
	}
	mlx := "without MLX"
	if metal.Available {
		mlx = "MLX " + metal.Version()
	}
	_, err := fmt.Fprintf(e.stdout, "loadstone %s, %s %s/%s, %s\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH, mlx)
	return err
}

// buildVersion is what the build knows of itself: the module's version, and the commit when it was built (not run) from
// a checkout.
func buildVersion() (version, commit string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	if version = info.Main.Version; version == "(devel)" {
		version = ""
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	if commit != "" {
		commit += dirty
	}
	return version, commit
}
