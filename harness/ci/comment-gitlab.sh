#!/usr/bin/env bash
# Posts a note on a merge request, or updates the one that begins with the same line. From the
# environment: COMMENT, a file; LOADSTONE_GITLAB_TOKEN, a project access token with the scope api; and
# GitLab's own CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID. It needs curl. Without a token it
# posts nothing: the job's token may not write notes.
set -euo pipefail
[ -s "$COMMENT" ] || exit 0
if [ -z "${LOADSTONE_GITLAB_TOKEN:-}" ]; then
	echo "no note is posted: LOADSTONE_GITLAB_TOKEN is not set"
	exit 0
fi
notes=$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
call() { # the token is not on the command line, which others can see
	curl --silent --show-error --fail --max-time 60 --header @<(printf 'PRIVATE-TOKEN: %s\n' "$LOADSTONE_GITLAB_TOKEN") "$@"
}
# In JSON, GitLab writes < and > as they are or as \u003c and \u003e. A note's id is before its body.
name=$(head -n 1 "$COMMENT" | sed 's/^<!-- //; s/ -->$//; s/[].[*^$\/]/\\&/g')
pattern='"id":[0-9]*,"type":[^,]*,"body":"\(<\|\\u003c\)!-- '$name' --\(>\|\\u003e\)'

post() {
	local page id
	for page in 1 2 3 4 5; do
		all=$(call "$notes?per_page=100&page=$page&sort=desc") || return
		id=$(grep -o "$pattern" <<<"$all" | head -n 1 | sed 's/^"id":\([0-9]*\).*/\1/') || true
		[ -z "$id" ] || break
		[ "$all" != '[]' ] || break
	done
	if [ -n "$id" ]; then
		call --output /dev/null --request PUT --data-urlencode "body@$COMMENT" "$notes/$id"
	else
		call --output /dev/null --request POST --data-urlencode "body@$COMMENT" "$notes"
	fi
}
post || echo "the note was not posted"
