package world

// Who signs in a world unless a test says otherwise.
const (
	Email  = "alice@bulla.test"
	Issuer = "https://issuer.bulla.test"
)
