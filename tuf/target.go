package tuf

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// getFiles takes the wanted targets that the repository has, kept or from the mirror (TUF specification, 5.7).
func (w *workflow) getFiles(ctx context.Context) error {
	w.next.files = make(map[string][]byte)
	for _, name := range wanted {
		info, ok, err := w.find(ctx, name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if w.next.files[name], err = w.getFile(ctx, name, info); err != nil {
			return err
		}
	}
	return nil
}

// visit is a role that is to be searched, and who delegates to it.
type visit struct {
	delegation
	by *Document
}

// find looks a target up: in the top-level targets, and else in the roles that these leave its path to, depth first
// (5.6.7). More roles than the limit are an error, since what was not found in them could have been in the others.
func (w *workflow) find(ctx context.Context, target string) (targetFile, bool, error) {
	seen := map[string]bool{TargetsRole: true}
	at := w.targets
	var todo []visit
	for {
		if info, ok := at.targets.files[target]; ok {
			return info, true, nil
		}
		var children []visit
		for _, d := range at.targets.delegations {
			if !d.matches(target) {
				continue
			}
			children = append(children, visit{d, at})
			if d.terminating { // nothing after it counts, here or above
				todo = nil
				break
			}
		}
		todo = append(children, todo...)
		todo = slices.DeleteFunc(todo, func(v visit) bool { return seen[v.name] })
		if len(todo) == 0 {
			return targetFile{}, false, nil
		}
		if len(seen) > maxDelegations {
			return targetFile{}, false, fmt.Errorf("%s is left to more than %d roles", target, maxDelegations)
		}
		next := todo[0]
		todo = todo[1:]
		seen[next.name] = true
		var err error
		if at, err = w.delegate(ctx, next); err != nil {
			return targetFile{}, false, err
		}
	}
}

// delegate loads the metadata of a delegated role. Where two roles delegate to it, it must be signed as each of them
// demands.
func (w *workflow) delegate(ctx context.Context, v visit) (*Document, error) {
	if !isRoleName(v.name) {
		return nil, fmt.Errorf("the delegated role %q has a name that no file is asked for by", v.name)
	}
	verify := func(d *Document) error { return checkSignatures(d, v.by.targets.keys, v.keys) }
	if d := w.delegated[v.name]; d != nil {
		if err := verify(d); err != nil {
			return nil, fmt.Errorf("%s.json: %w", v.name, err)
		}
		return d, nil
	}
	meta, ok := w.snapshot.meta[v.name+".json"]
	if !ok {
		return nil, fmt.Errorf("snapshot.json does not name %s.json", v.name)
	}
	d, data, err := w.load(ctx, file{name: v.name, meta: meta, limit: maxTargets, kept: w.old.delegated[v.name], verify: verify})
	if err != nil {
		return nil, err
	}
	if w.delegated == nil {
		w.delegated, w.next.delegated = make(map[string]*Document), make(map[string][]byte)
	}
	w.delegated[v.name], w.next.delegated[v.name] = d, data
	w.order = append(w.order, v.name)
	return d, nil
}

// isRoleName says that a delegated role's name may become part of a file name, here and at the mirror: letters, digits,
// hyphens, underscores and dots, none of the latter first, and not the name of another file of the repository.
func isRoleName(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return name != "" && len(name) <= maxRoleName && name[0] != '.' && strings.Trim(name, allowed) == "" &&
		!slices.ContainsFunc(topRoles, func(top string) bool { return strings.EqualFold(top, name) })
}

func (w *workflow) getFile(ctx context.Context, name string, info targetFile) ([]byte, error) {
	if info.length < 1 || info.length > maxTarget {
		return nil, fmt.Errorf("targets.json says that %s has %d bytes, allowed are 1 to %d", name, info.length, maxTarget)
	}
	if kept := w.old.files[name]; kept != nil && checkContent(kept, info.length, info.hashes) == nil {
		return kept, nil
	}
	if w.fetch == nil {
		return nil, fmt.Errorf("%s is not kept here, or not as targets.json has it", name)
	}
	sum := cmp.Or(hex.EncodeToString(info.hashes["sha256"]), hex.EncodeToString(info.hashes["sha512"]))
	if sum == "" {
		return nil, fmt.Errorf("targets.json has no SHA-256 or SHA-512 of %s", name)
	}
	at := name
	if w.root.root.consistent {
		at = sum + "." + name
	}
	data, err := w.fetch(ctx, info.length, "targets", at)
	if err != nil {
		return nil, err
	}
	if err := checkContent(data, info.length, info.hashes); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
