#!/usr/bin/env bash
# Builds two commits of the repository in the current folder, measures both in turns on this machine,
# and decides whether the second is worse: exit codes of loadstone gate. From the environment:
#
#   LOADSTONE  the program
#   BASE       the commit to hold the other to; its merge base with HEAD is taken
#   BUILD      command that builds the program $OUT, in a checkout of each commit
#   FLAGS      words more for loadstone gate, such as -model smollm2 -scenario concurrent-5
#   ACCEPTED   file in the repository with what was accepted (optional)
#   ADVISORY   true: it never fails for what it decides
#   RESULTS    folder for base.txt, head.txt, comment.md and junit.xml
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

head=$(git rev-parse --verify --quiet 'HEAD^{commit}')
if ! base=$(git merge-base "$BASE" HEAD); then
	say "gate: $BASE and HEAD have no common history here; fetch more of it (actions/checkout: fetch-depth: 0, GIT_DEPTH: 0)"
	exit 2
fi
if [ "$base" = "$head" ]; then
	say "gate: $BASE has all that HEAD has; there is nothing to judge"
	exit 0
fi

work=$(mktemp -d)
clean() {
	for side in base head; do
		git worktree remove --force "$work/$side" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap clean EXIT
mkdir -p "$RESULTS"
RESULTS=$(cd "$RESULTS" && pwd)

for side in base head; do
	commit=${!side}
	say "building the $side, ${commit:0:10}"
	git worktree add --detach --force --quiet "$work/$side" "$commit"
	if ! (cd "$work/$side" && OUT="$work/$side.program" bash -c "$BUILD" >&2) || [ ! -x "$work/$side.program" ]; then
		say "gate: the $side, ${commit:0:10}, cannot be built: $BUILD"
		exit 4
	fi
done

flags=(-base-cmd "$work/base.program" -head-cmd "$work/head.program" -out "$RESULTS"
	-junit "$RESULTS/junit.xml" -comment "$RESULTS/comment.md")
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || flags+=(-summary)
[ "${ADVISORY:-}" != true ] || flags+=(-advisory)
if [ -n "${ACCEPTED:-}" ]; then
	# Lines that the base has as well are of what the base is itself by now.
	git show "$base:$ACCEPTED" >"$work/old" 2>/dev/null || : >"$work/old"
	git show "$head:$ACCEPTED" 2>/dev/null | grep -vxFf "$work/old" >"$RESULTS/accepted" || true
	flags+=(-accepted "$RESULTS/accepted")
fi
read -ra more <<<"${FLAGS:-}"
LOADSTONE_HEAD=$head LOADSTONE_ACCEPTED=${ACCEPTED:-} "$LOADSTONE" gate "${flags[@]}" ${more[@]+"${more[@]}"}
