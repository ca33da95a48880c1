// Package ci holds what runs Loadstone's gate on changes: for GitHub the scripts of the action at
// the repository's root (action.yml) and a workflow that uses it (github-workflow.yml), for GitLab
// a job to include (gitlab-ci.yml).
//
// Both build the change's head and the commit that it starts from, and measure the two in turns on
// one runner, since two runners, or one on two days, differ by more than most regressions do
// (see package gate). What they decide is in the step's summary, in annotations, in JUnit's XML and
// in one comment that is updated in place. Begin with advisory, which reports and never fails.
//
// A regression that is wanted is accepted by lines that the comment shows, in a file of the
// repository (.loadstone/accepted). They count in the change that adds them, and no longer when the
// base has them, which then is as slow itself.
package ci
