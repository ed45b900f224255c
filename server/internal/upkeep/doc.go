// Package upkeep is what an operator does with a deployment that stands still, or beside one that runs: look whether every
// piece of it is whole and fits the others ([Check]), copy it ([Backup]), and bring a copy back ([Restore]).
package upkeep
