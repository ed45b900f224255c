package treelog

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

var routeOnce sync.Once

// routeTesseraLogs sends what Tessera prints through klog, a logger that a process has once, to the log of the first tree
// log opened: its messages for information as debugging, so that a healthy server is quiet.
func routeTesseraLogs(to *slog.Logger) {
	routeOnce.Do(func() {
		klog.SetSlogLogger(slog.New(quieter{to.With("from", "tessera").Handler()}))
	})
}

// quieter turns information into debugging.
type quieter struct{ slog.Handler }

func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, quiet(level))
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quiet(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

func quiet(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}
