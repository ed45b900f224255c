// Package libbench holds benchmarks of the two libraries side by side: the same bundle, the same demands, the same run.
package libbench
