#!/usr/bin/env bash
# Posts a comment on a pull request, or updates the one that begins with the same line. From the
# environment: COMMENT, a file; PULL_REQUEST, its number; GITHUB_REPOSITORY; GH_TOKEN. It needs gh,
# GitHub's own tool. A token that may not write, as of a pull request from a fork, is no failure.
set -euo pipefail
[ -s "$COMMENT" ] || exit 0
marker=$(head -n 1 "$COMMENT")
comments=repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments

post() {
	local id
	id=$(gh api --paginate "$comments" --jq '.[] | [.id, (.body | split("\n")[0] | rtrimstr("\r"))] | @tsv' |
		awk -F '\t' -v marker="$marker" '$2 == marker { print $1; exit }') || return
	if [ -n "$id" ]; then
		gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$COMMENT"
	else
		gh api --silent --method POST "$comments" -F "body=@$COMMENT"
	fi
}
post || echo "::warning title=loadstone::the comment was not posted; it is in the step's summary"
