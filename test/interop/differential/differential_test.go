package differential

import (
	"crypto/sha512"
	"encoding/base64"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
)

// mutantsInCI is how many mutants of each vector are judged in an ordinary run: some 15 seconds on two cores.
// BULLA_SOAK gives another total for all vectors together.
const mutantsInCI = 120

// maxShown is how many differences without a rule are shown: enough to work on.
const maxShown = 40

// TestDifferentialVectors holds both verifiers against every vector as it is.
func TestDifferentialVectors(t *testing.T) {
	c := newComparison(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		t.Run(v.name, func(t *testing.T) { c.compare(t, v, mutant{data: v.bundle}) })
	}
	c.summary(t)
}

// TestDifferentialMutants holds both against broken copies of the vectors that sigstore-go accepts, and of some that it
// refuses.
func TestDifferentialMutants(t *testing.T) {
	each := mutantsInCI
	c := newComparison(t)
	soak := os.Getenv("BULLA_SOAK")
	if soak != "" {
		n, err := strconv.Atoi(soak)
		if err != nil {
			t.Fatalf("BULLA_SOAK: %v", err)
		}
		each = n/len(c.vectors) + 1
	}
	var wg sync.WaitGroup
	work := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				c.mutants(t, i, each)
				c.restated(t, i)
			}
		})
	}
	for i := range c.vectors {
		work <- i
	}
	close(work)
	wg.Wait()
	c.summary(t)
	if soak != "" {
		c.unused(t)
	}
}

// comparison holds both verifiers and counts what they say.
type comparison struct {
	vectors []vector
	trees   []any // parsed bundles, nil where a vector is no JSON
	donors  []any
	oracle  *oracle
	subject *subject

	mu                       sync.Mutex
	both, neither, forgotten int
	used                     map[string]int
	rules                    []exception
}

func newComparison(t *testing.T) *comparison {
	c := &comparison{vectors: corpus(t), oracle: newOracle(), subject: newSubject(), used: map[string]int{}, rules: exceptions()}
	for i := range c.vectors {
		v := &c.vectors[i]
		c.oracle.load(t, v)
		c.subject.load(t, v)
		doc, err := parse(v.bundle)
		if err != nil {
			doc = nil
		} else {
			c.donors = append(c.donors, doc)
		}
		c.trees = append(c.trees, doc)
	}
	return c
}

// mutants judges mutants of one vector; the seed is the vector's place, so that a finding can be had again.
func (c *comparison) mutants(t *testing.T, i, n int) {
	if c.trees[i] == nil {
		return
	}
	m := newMutator(uint64(i), c.donors)
	for range n {
		c.compare(t, &c.vectors[i], m.mutate(c.trees[i]))
	}
}

// restated judges a vector whose messageDigest is rewritten to be the artifact's in another hash: true, and other than
// what the log entry names. Chance finds that in one mutant of a hundred thousand.
func (c *comparison) restated(t *testing.T, i int) {
	v := &c.vectors[i]
	doc, err := parse(v.bundle)
	digest, ok := field(doc, "messageSignature", "messageDigest").(map[string]any)
	if err != nil || !ok || v.artifact == nil {
		return
	}
	sum := sha512.Sum512(v.artifact)
	digest["algorithm"], digest["digest"] = "SHA2_512", base64.StdEncoding.EncodeToString(sum[:])
	c.compare(t, v, mutant{data: encode(doc), how: "messageDigest in another hash"})
}

// compare judges one bundle with both and looks for a rule where they differ.
func (c *comparison) compare(t *testing.T, v *vector, x mutant) {
	t.Helper()
	d := difference{vector: v.name, how: x.how, data: x.data}
	d.oracle = c.oracle.judge(v, x.data)
	d.bulla = c.subject.judge(t, v, x.data)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.bulla.accepted == d.oracle.accepted {
		if d.bulla.accepted {
			c.both++
		} else {
			c.neither++
		}
		return
	}
	for _, rule := range c.rules {
		if rule.covers(&d) {
			c.used[rule.name]++
			return
		}
	}
	c.forgotten++
	if c.forgotten > maxShown {
		return
	}
	file := c.keep(t, &d)
	if d.bulla.accepted {
		t.Errorf("bulla accepts what sigstore-go refuses\n  vector %s\n  change %s\n  sigstore-go: %s\n  bundle %s",
			d.vector, d.how, d.oracle.why, file)
	} else {
		t.Errorf("bulla refuses what sigstore-go accepts\n  vector %s\n  change %s\n  bulla: %s: %s\n  bundle %s",
			d.vector, d.how, d.bulla.code, d.bulla.why, file)
	}
}

// keep writes a finding where it outlives the test, if BULLA_FINDINGS names a folder.
func (c *comparison) keep(t *testing.T, d *difference) string {
	dir := os.Getenv("BULLA_FINDINGS")
	if dir == "" {
		return "not kept (BULLA_FINDINGS names no folder)"
	}
	path := filepath.Join(dir, strconv.Itoa(c.forgotten)+".json")
	if err := os.WriteFile(path, d.data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *comparison) summary(t *testing.T) {
	t.Logf("%d accepted by both, %d refused by both, %d differ by a rule, %d differ without one",
		c.both, c.neither, total(c.used), c.forgotten)
	for _, x := range c.rules {
		if n := c.used[x.name]; n > 0 {
			t.Logf("%6d %s: %s", n, x.name, x.rule)
		}
	}
	if c.both == 0 {
		t.Error("nothing was accepted by both, so the refusals prove nothing")
	}
}

// unused fails on rules that a long run never needed: they would hide a future difference.
func (c *comparison) unused(t *testing.T) {
	for _, x := range c.rules {
		if c.used[x.name] == 0 {
			t.Errorf("the rule %q was never needed", x.name)
		}
	}
}

func total(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
