package issuer

import (
	"container/list"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// errFull says that as many things are under way as memory is set aside for.
var errFull = errors.New("too many requests are under way")

// errTaken says that the secret is in use already.
var errTaken = errors.New("the secret is in use")

// tickets keeps what belongs to secrets that were handed out: in memory, at most so many, for so long, each until it is
// taken once. It keeps hashes of the secrets only, so that finding one tells nothing by its timing.
type tickets[T any] struct {
	limit int
	life  time.Duration

	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*list.Element
	order *list.List // of ticket[T], the oldest first: all live equally long
}

type ticket[T any] struct {
	key     [sha256.Size]byte
	expires time.Time
	value   T
}

func newTickets[T any](limit int, life time.Duration) *tickets[T] {
	return &tickets[T]{limit: limit, life: life, byKey: make(map[[sha256.Size]byte]*list.Element), order: list.New()}
}

// put keeps value for the secret. It fails with errFull or errTaken, and never drops what somebody else is waiting for.
func (t *tickets[T]) put(now time.Time, secret string, value T) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purge(now)
	key := sha256.Sum256([]byte(secret))
	switch {
	case t.byKey[key] != nil:
		return errTaken
	case len(t.byKey) >= t.limit:
		return errFull
	}
	t.byKey[key] = t.order.PushBack(ticket[T]{key, now.Add(t.life), value})
	return nil
}

// get returns what belongs to the secret and keeps it.
func (t *tickets[T]) get(now time.Time, secret string) (value T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purge(now)
	e := t.byKey[sha256.Sum256([]byte(secret))]
	if e == nil {
		return value, false
	}
	return e.Value.(ticket[T]).value, true
}

// take returns what belongs to the secret and forgets it. Of several callers with one secret, one gets it.
func (t *tickets[T]) take(now time.Time, secret string) (value T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purge(now)
	e := t.byKey[sha256.Sum256([]byte(secret))]
	if e == nil {
		return value, false
	}
	t.drop(e)
	return e.Value.(ticket[T]).value, true
}

func (t *tickets[T]) purge(now time.Time) {
	for e := t.order.Front(); e != nil && !now.Before(e.Value.(ticket[T]).expires); e = t.order.Front() {
		t.drop(e)
	}
}

func (t *tickets[T]) drop(e *list.Element) {
	delete(t.byKey, e.Value.(ticket[T]).key)
	t.order.Remove(e)
}
