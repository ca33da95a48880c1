// Package deploy_test holds the files for Kubernetes, here and in server/deploy, to what Kubernetes
// makes of them and to the programs that they start.
package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/assert"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	security "k8s.io/pod-security-admission/api"
	standard "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// kustomizations are those of this repository, by their folders.
var kustomizations = []string{"parts", "workers", filepath.Join("..", "..", "server", "deploy", "kubernetes"),
	filepath.Join("..", "..", "server", "deploy", "kubernetes-shared")}

// A cluster is what Kubernetes is told by a kustomization.
type cluster struct {
	text     string // all manifests, as kubectl would send them
	configs  map[string]*core.ConfigMap
	claims   map[string]*core.PersistentVolumeClaim
	services map[string]*core.Service
	policies map[string]*networking.NetworkPolicy
	budgets  map[string]*policy.PodDisruptionBudget
	jobs     map[string]*batch.Job
	sets     map[string]*apps.StatefulSet
	deployed map[string]*apps.Deployment
	pods     map[string]*core.Pod
}

// A workload is something that has pods.
type workload struct {
	name     string
	selector *meta.LabelSelector // nil: Kubernetes chooses it
	pod      *core.PodTemplateSpec
	claims   []core.PersistentVolumeClaim // of each pod
}

// build makes the manifests of a kustomization.
func build(folder string) (*cluster, error) {
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	text, err := all.AsYaml()
	if err != nil {
		return nil, err
	}
	return read(string(text))
}

// read reads manifests into Kubernetes' own types and refuses a field that these do not have.
func read(text string) (*cluster, error) {
	c := &cluster{text: text}
	for _, one := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		var is meta.TypeMeta
		if err := yaml.Unmarshal([]byte(one), &is); err != nil {
			return nil, err
		}
		var err error
		switch is.APIVersion + " " + is.Kind {
		case "v1 ConfigMap":
			err = add(one, &c.configs)
		case "v1 PersistentVolumeClaim":
			err = add(one, &c.claims)
		case "v1 Service":
			err = add(one, &c.services)
		case "networking.k8s.io/v1 NetworkPolicy":
			err = add(one, &c.policies)
		case "policy/v1 PodDisruptionBudget":
			err = add(one, &c.budgets)
		case "batch/v1 Job":
			err = add(one, &c.jobs)
		case "apps/v1 StatefulSet":
			err = add(one, &c.sets)
		case "apps/v1 Deployment":
			err = add(one, &c.deployed)
		case "v1 Pod":
			err = add(one, &c.pods)
		default:
			err = fmt.Errorf("there is no %s %s", is.APIVersion, is.Kind)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// add reads one manifest and puts it among those of its kind by its name.
func add[T any](text string, to *map[string]*T) error {
	var named struct{ Metadata meta.ObjectMeta }
	if err := yaml.Unmarshal([]byte(text), &named); err != nil {
		return err
	}
	name, one := named.Metadata.Name, new(T)
	if err := yaml.UnmarshalStrict([]byte(text), one); err != nil {
		return fmt.Errorf("%T %s: %w", one, name, err)
	}
	if wrong := validation.IsDNS1123Subdomain(name); wrong != nil {
		return fmt.Errorf("%T %s: %s", one, name, strings.Join(wrong, ", "))
	}
	if *to == nil {
		*to = map[string]*T{}
	}
	if (*to)[name] != nil {
		return fmt.Errorf("two %T are called %s", one, name)
	}
	(*to)[name] = one
	return nil
}

// workloads are all that have pods, in the order of their names.
func (c *cluster) workloads() (all []workload) {
	for name, j := range c.jobs {
		all = append(all, workload{name, j.Spec.Selector, &j.Spec.Template, nil})
	}
	for name, s := range c.sets {
		all = append(all, workload{name, s.Spec.Selector, &s.Spec.Template, s.Spec.VolumeClaimTemplates})
	}
	for name, d := range c.deployed {
		all = append(all, workload{name, d.Spec.Selector, &d.Spec.Template, nil})
	}
	for name, p := range c.pods {
		all = append(all, workload{name, nil, &core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}, nil})
	}
	slices.SortFunc(all, func(a, b workload) int { return strings.Compare(a.name, b.name) })
	return all
}

// faults are what is wrong with manifests whose fields are all known: Kubernetes would refuse them,
// or take them and never do what they are for.
func (c *cluster) faults() (all []string) {
	fault := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, w := range c.workloads() {
		c.podFaults(w, func(format string, args ...any) { fault(w.name+": "+format, args...) })
	}
	for name, j := range c.jobs {
		jobFaults(j, func(format string, args ...any) { fault(name+": "+format, args...) })
	}
	for name, s := range c.services {
		own := c.selected(labels.SelectorFromSet(s.Spec.Selector))
		if len(own) != 1 {
			fault("service %s: it selects %d workloads", name, len(own))
			continue
		}
		for _, p := range s.Spec.Ports {
			if !hasPort(own[0], p.TargetPort.String()) {
				fault("service %s: no container has the port %s", name, p.TargetPort.String())
			}
		}
	}
	for name, s := range c.sets {
		if head := c.services[s.Spec.ServiceName]; head == nil || head.Spec.ClusterIP != core.ClusterIPNone {
			fault("%s: there is no headless service %s", name, s.Spec.ServiceName)
		}
	}
	for name, b := range c.budgets {
		if own := c.selectedBy(b.Spec.Selector); len(own) != 1 {
			fault("budget %s: it selects %d workloads", name, len(own))
		}
	}
	for name, p := range c.policies {
		c.policyFaults(p, func(format string, args ...any) { fault("policy "+name+": "+format, args...) })
	}
	return all
}

func (c *cluster) selectedBy(s *meta.LabelSelector) []workload {
	selector, err := meta.LabelSelectorAsSelector(s)
	if err != nil {
		return nil
	}
	return c.selected(selector)
}

func (c *cluster) selected(s labels.Selector) (own []workload) {
	for _, w := range c.workloads() {
		if !s.Empty() && s.Matches(labels.Set(w.pod.Labels)) {
			own = append(own, w)
		}
	}
	return own
}

func hasPort(w workload, name string) bool {
	for _, c := range w.pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name || fmt.Sprint(p.ContainerPort) == name {
				return true
			}
		}
	}
	return false
}

func (c *cluster) policyFaults(p *networking.NetworkPolicy, fault func(string, ...any)) {
	own := c.selectedBy(&p.Spec.PodSelector)
	if len(own) != 1 {
		fault("it selects %d workloads", len(own))
		return
	}
	for _, in := range p.Spec.Ingress {
		if len(in.From) == 0 || len(in.Ports) == 0 {
			fault("it lets everybody in, or to every port")
		}
		for _, from := range in.From {
			if len(c.selectedBy(from.PodSelector)) == 0 {
				fault("it lets nobody in")
			}
		}
		for _, port := range in.Ports {
			if !hasPort(own[0], port.Port.String()) {
				fault("no container has the port %s", port.Port.String())
			}
		}
	}
}

var partOf = regexp.MustCompile(`^-part=\$\(JOB_COMPLETION_INDEX\)/(\d+)$`)

func jobFaults(j *batch.Job, fault func(string, ...any)) {
	restart := j.Spec.Template.Spec.RestartPolicy
	if restart != core.RestartPolicyNever && (restart != core.RestartPolicyOnFailure || j.Spec.PodFailurePolicy != nil) {
		fault("restartPolicy is %q", restart)
	}
	for _, c := range j.Spec.Template.Spec.Containers {
		for _, arg := range c.Args {
			m := partOf.FindStringSubmatch(arg)
			if m == nil {
				continue
			}
			switch {
			case j.Spec.CompletionMode == nil || *j.Spec.CompletionMode != batch.IndexedCompletion:
				fault("its pods have no index")
			case j.Spec.Completions == nil || fmt.Sprint(*j.Spec.Completions) != m[1]:
				fault("%s is not of its completions", arg)
			case j.Spec.Parallelism == nil || *j.Spec.Parallelism != *j.Spec.Completions:
				fault("not all parts are carried out at once")
			}
		}
	}
}

// theirs are the secrets that a person makes (README.md).
var theirs = []string{"loadstone-nats", "loadstone-key", "loadstone-keys", "loadstone-store"}

func (c *cluster) podFaults(w workload, fault func(string, ...any)) {
	if w.selector != nil && !slices.ContainsFunc(c.selectedBy(w.selector), func(o workload) bool { return o.name == w.name }) {
		fault("its selector is not of its pods")
	} else if w.selector != nil && len(c.selectedBy(w.selector)) != 1 {
		fault("its selector is of other pods too")
	}
	levels := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
	evaluator, err := standard.NewEvaluator(standard.DefaultChecks(), nil)
	if err != nil {
		fault("%v", err)
		return
	}
	for _, r := range evaluator.EvaluatePod(levels, &w.pod.ObjectMeta, &w.pod.Spec) {
		if !r.Allowed {
			fault("the restricted security standard: %s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	if w.pod.Spec.AutomountServiceAccountToken == nil || *w.pod.Spec.AutomountServiceAccountToken {
		fault("it has a key of the cluster that it needs not")
	}
	volumes := map[string]bool{}
	for _, v := range w.claims {
		volumes[v.Name] = true
	}
	for _, v := range w.pod.Spec.Volumes {
		volumes[v.Name] = true
		switch {
		case v.ConfigMap != nil && c.configs[v.ConfigMap.Name] == nil:
			fault("there is no ConfigMap %s", v.ConfigMap.Name)
		case v.PersistentVolumeClaim != nil && c.claims[v.PersistentVolumeClaim.ClaimName] == nil && len(c.pods) == 0:
			fault("there is no claim %s", v.PersistentVolumeClaim.ClaimName)
		}
	}
	for i := range w.pod.Spec.Containers {
		c.containerFaults(&w.pod.Spec.Containers[i], volumes, fault)
	}
}

func (c *cluster) containerFaults(one *core.Container, volumes map[string]bool, fault func(string, ...any)) {
	if s := one.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		fault("%s can write to its image", one.Name)
	}
	if _, tag, _ := strings.Cut(one.Image, ":"); tag == "" || tag == "latest" {
		fault("image %s has no version", one.Image)
	}
	if one.Resources.Requests.Cpu().IsZero() || one.Resources.Requests.Memory().IsZero() {
		fault("%s does not say what it needs", one.Name)
	}
	for _, m := range one.VolumeMounts {
		if !volumes[m.Name] {
			fault("there is no volume %s", m.Name)
		}
	}
	for _, probe := range []*core.Probe{one.ReadinessProbe, one.LivenessProbe} {
		port := ""
		switch {
		case probe == nil:
			continue
		case probe.HTTPGet != nil:
			port = probe.HTTPGet.Port.String()
		case probe.TCPSocket != nil:
			port = probe.TCPSocket.Port.String()
		}
		if !slices.ContainsFunc(one.Ports, func(p core.ContainerPort) bool { return p.Name == port }) {
			fault("a probe of %s asks the port %q", one.Name, port)
		}
	}
	_, unknown := c.arguments(one, "0")
	for _, what := range unknown {
		fault("%s", what)
	}
}

var variable = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// secret is the value of every secret.
const secret = "sesame"

// environment is that of a container with an index among its Job's, as Kubernetes makes it.
func (c *cluster) environment(one *core.Container, index string) (all map[string]string, unknown []string) {
	all = map[string]string{}
	for _, from := range one.EnvFrom {
		switch {
		case from.SecretRef != nil && slices.Contains(theirs, from.SecretRef.Name):
			// which variables it has is the person's who makes it
		case from.ConfigMapRef == nil || c.configs[from.ConfigMapRef.Name] == nil:
			unknown = append(unknown, "envFrom names no ConfigMap or secret that there is")
		default:
			maps.Copy(all, c.configs[from.ConfigMapRef.Name].Data)
		}
	}
	for _, e := range one.Env {
		var more []string
		switch {
		case e.ValueFrom == nil:
			all[e.Name], more = expand(e.Value, all)
			unknown = append(unknown, more...)
		case e.ValueFrom.SecretKeyRef == nil || !slices.Contains(theirs, e.ValueFrom.SecretKeyRef.Name):
			unknown = append(unknown, fmt.Sprintf("%s is of no secret", e.Name))
		default:
			all[e.Name] = secret
		}
	}
	all["JOB_COMPLETION_INDEX"] = index // pkg/controller/job adds it to the containers of an Indexed Job
	return all, unknown
}

// arguments are those that a container's program gets.
func (c *cluster) arguments(one *core.Container, index string) (args, unknown []string) {
	env, unknown := c.environment(one, index)
	for _, arg := range one.Args {
		got, more := expand(arg, env)
		args, unknown = append(args, got), append(unknown, more...)
	}
	return args, unknown
}

func expand(text string, env map[string]string) (got string, unknown []string) {
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		value, ok := env[v[2:len(v)-1]]
		if !ok {
			unknown = append(unknown, v+" is of no variable")
		}
		return value
	}), unknown
}

// Kubernetes takes every manifest, and each is whole: what one names is there.
func TestManifests(t *testing.T) {
	for _, folder := range kustomizations {
		c, err := build(folder)
		assert.NilError(t, err)
		assert.Assert(t, len(c.workloads()) > 0)
		assert.Check(t, len(c.faults()) == 0, "%s:\n%s", folder, strings.Join(c.faults(), "\n"))
	}
	text, err := os.ReadFile(filepath.Join("load", "reader.yaml"))
	assert.NilError(t, err)
	c, err := read(string(text))
	assert.NilError(t, err)
	assert.Check(t, len(c.pods) == 1 && len(c.faults()) == 0, "%v", c.faults())
}

// Replicas that share an object store keep nothing of their own.
func TestSharedKeepsNothing(t *testing.T) {
	c, err := build(filepath.Join("..", "..", "server", "deploy", "kubernetes-shared"))
	assert.NilError(t, err)
	set := c.sets["loadstone"]
	assert.Equal(t, len(set.Spec.VolumeClaimTemplates), 0)
	for _, v := range set.Spec.Template.Spec.Volumes {
		assert.Assert(t, v.EmptyDir != nil, v.Name)
	}
	for _, arg := range set.Spec.Template.Spec.Containers[0].Args {
		assert.Assert(t, !strings.HasPrefix(arg, "-agents-dir"), arg)
	}
}

// What TestManifests relies on finds mistakes.
func TestMistakesAreFound(t *testing.T) {
	built := map[string]string{}
	for _, folder := range kustomizations {
		c, err := build(folder)
		assert.NilError(t, err)
		built[filepath.Base(folder)] = c.text
	}
	for _, m := range []struct{ of, old, new, want string }{
		{"parts", "completions: 4", "completion: 4", `unknown field "completion"`},
		{"parts", "completions: 4", `completions: "4"`, "cannot unmarshal string"},
		{"parts", "  completions: 4\n", "", "is not of its completions"},
		{"parts", "completions: 4", "completions: 5", "is not of its completions"},
		{"parts", "parallelism: 4", "parallelism: 2", "not all parts are carried out at once"},
		{"parts", "completionMode: Indexed", "completionMode: NonIndexed", "its pods have no index"},
		{"parts", "restartPolicy: Never", "restartPolicy: Always", `restartPolicy is "Always"`},
		{"parts", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot != true"},
		{"parts", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write to its image"},
		{"parts", "- ALL", "- NET_RAW", "unrestricted capabilities"},
		{"parts", "type: RuntimeDefault", "type: Unconfined", "seccompProfile"},
		{"parts", "$(SEED)", "$(SED)", "$(SED) is of no variable"},
		{"parts", "mountPath: /load\n          name: load", "mountPath: /load\n          name: lod", "there is no volume lod"},
		{"parts", "claimName: loadstone-results", "claimName: results", "there is no claim results"},
		{"parts", "kind: Job", "kind: Jobs", "there is no batch/v1 Jobs"},
		{"parts", "name: loadstone-parts\n", "name: loadstone_parts\n", "lowercase RFC 1123"},
		{"parts", "loadstone:v0.0.0", "loadstone", "image loadstone has no version"},
		{"workers", "targetPort: client", "targetPort: nats", "no container has the port nats"},
		{"workers", "port: client\n      protocol", "port: clients\n      protocol", "no container has the port clients"},
		{"workers", "  selector:\n    app.kubernetes.io/component: nats", "  selector:\n    app.kubernetes.io/component: nat", "service loadstone-nats: it selects 0 workloads"},
		{"workers", "      app.kubernetes.io/component: worker\n  template", "      app.kubernetes.io/component: work\n  template", "its selector is not of its pods"},
		{"workers", "key: token\n              name: loadstone-nats", "key: token\n              name: nats", "is of no secret"},
		{"kubernetes-shared", "name: loadstone-store", "name: store", "envFrom names no ConfigMap or secret"},
		{"kubernetes", "serviceName: loadstone-replicas", "serviceName: replicas", "there is no headless service replicas"},
		{"kubernetes", "  clusterIP: None\n", "", "there is no headless service loadstone-replicas"},
		{"kubernetes", "path: /health/ready\n            port: http", "path: /health/ready\n            port: htp", `asks the port "htp"`},
		{"kubernetes", "maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: replica", "maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: replicas", "budget loadstone-replicas: it selects 0 workloads"},
	} {
		text := strings.Replace(built[m.of], m.old, m.new, 1)
		assert.Assert(t, text != built[m.of], "%q is not in %s", m.old, m.of)
		c, err := read(text)
		found := fmt.Sprint(err)
		if err == nil {
			found = strings.Join(c.faults(), "\n")
		}
		assert.Check(t, strings.Contains(found, m.want), "%s in place of %s: %s", m.new, m.old, found)
	}
}

// kubernetes-validate, a tool of others' with Kubernetes' own schemas, takes every manifest, and no
// mistake.
func TestKubernetesValidate(t *testing.T) {
	tool, err := exec.LookPath("kubernetes-validate")
	if err != nil {
		t.Skip("kubernetes-validate is not installed (pip install kubernetes-validate); .ci/run installs it")
	}
	validate := func(text string) ([]byte, error) {
		file := filepath.Join(t.TempDir(), "all.yaml")
		assert.NilError(t, os.WriteFile(file, []byte(text), 0o600))
		return exec.Command(tool, "--strict", file).CombinedOutput()
	}
	reader, err := os.ReadFile(filepath.Join("load", "reader.yaml"))
	assert.NilError(t, err)
	all := string(reader)
	for _, folder := range kustomizations {
		c, err := build(folder)
		assert.NilError(t, err)
		all += "\n---\n" + c.text
	}
	said, err := validate(all)
	assert.NilError(t, err, "%s", said)
	said, err = validate(strings.Replace(all, "completions: 4", "completion: 4", 1))
	assert.Assert(t, err != nil && strings.Contains(string(said), "completion"), "%s", said)
}
