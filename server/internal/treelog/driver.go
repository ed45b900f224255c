package treelog

import (
	"context"
	"fmt"

	"github.com/transparency-dev/tessera"
)

// driver is Tessera's driver with a reader that knows the size of the log by heart. Tessera asks for it twice every 100 ms,
// for metrics of its own, and its driver would open, read and parse .state/treeState each time, in a log that nobody uses too.
type driver struct {
	tessera.Driver
	log *Log
}

// appending is what [tessera.NewAppender] wants of a driver.
type appending interface {
	Appender(ctx context.Context, opts *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error)
}

// Appender implements appending. The size is read once; from then on only finished batches change it.
func (d driver) Appender(ctx context.Context, opts *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error) {
	below, ok := d.Driver.(appending)
	if !ok {
		return nil, nil, fmt.Errorf("tree log: a driver of type %T cannot append", d.Driver)
	}
	appender, reader, err := below.Appender(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	size, err := reader.IntegratedSize(ctx)
	if err != nil {
		return nil, nil, err
	}
	d.log.integrated.Store(size)
	return appender, sized{reader, d.log}, nil
}

// sized is a reader of the directory that takes the size from the log.
type sized struct {
	tessera.LogReader
	log *Log
}

// IntegratedSize implements [tessera.LogReader].
func (s sized) IntegratedSize(context.Context) (uint64, error) { return s.log.integrated.Load(), nil }

// NextIndex implements [tessera.LogReader]: entries are integrated as they are sequenced.
func (s sized) NextIndex(ctx context.Context) (uint64, error) { return s.IntegratedSize(ctx) }
