package cli

import "github.com/spf13/pflag"

// nearestFlag returns the flag that differs from name by at most two letters and by fewer than any other, "" if none does.
func nearestFlag(fs *pflag.FlagSet, name string) string {
	best, least := "", 3
	fs.VisitAll(func(f *pflag.Flag) {
		if n := distance(f.Name, name); n < least && n < len(name) && !f.Hidden && f.Deprecated == "" {
			best, least = f.Name, n
		}
	})
	return best
}

// distance counts the letters to insert, delete or replace to get from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
