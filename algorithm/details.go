package algorithm

import "strconv"

// Details is a value of the enum PublicKeyDetails of sigstore's protobuf-specs: how a public key is encoded and which
// signature algorithm it is for. Numbers are those of the specification, so that a value can be written as it was read.
// A value outside the enum is kept as a number; [ForDetails] refuses it.
type Details int32

// The values that this package can verify, apart from the deprecated ones that say less (see [ParseDetails]).
const (
	// Unspecified is PUBLIC_KEY_DETAILS_UNSPECIFIED: nothing was said.
	Unspecified Details = 0

	ECDSAP256SHA256 Details = 5  // PKIX_ECDSA_P256_SHA_256
	ECDSAP384SHA384 Details = 12 // PKIX_ECDSA_P384_SHA_384
	ECDSAP521SHA512 Details = 13 // PKIX_ECDSA_P521_SHA_512

	// ECDSAP384SHA256 and ECDSAP521SHA256 are deprecated: what cosign signed with such keys for years.
	ECDSAP384SHA256 Details = 19 // PKIX_ECDSA_P384_SHA_256
	ECDSAP521SHA256 Details = 20 // PKIX_ECDSA_P521_SHA_256

	Ed25519   Details = 7 // PKIX_ED25519, pure (RFC 8032, 5.1)
	Ed25519ph Details = 8 // PKIX_ED25519_PH (RFC 8032, 5.1, with empty context)

	RSAPKCS1v15x2048SHA256 Details = 9  // PKIX_RSA_PKCS1V15_2048_SHA256
	RSAPKCS1v15x3072SHA256 Details = 10 // PKIX_RSA_PKCS1V15_3072_SHA256
	RSAPKCS1v15x4096SHA256 Details = 11 // PKIX_RSA_PKCS1V15_4096_SHA256

	RSAPSSx2048SHA256 Details = 16 // PKIX_RSA_PSS_2048_SHA256
	RSAPSSx3072SHA256 Details = 17 // PKIX_RSA_PSS_3072_SHA256
	RSAPSSx4096SHA256 Details = 18 // PKIX_RSA_PSS_4096_SHA256
)

// Deprecated values that name no key size, and algorithms that are recognised by name only.
const (
	pkcs1RSAPKCS1v15    Details = 1
	pkcs1RSAPSS         Details = 2
	pkixRSAPKCS1v15     Details = 3
	pkixRSAPSS          Details = 4
	ecdsaP256HMACSHA256 Details = 6
	lmsSHA256           Details = 14
	lmotsSHA256         Details = 15
	mlDSA65             Details = 21
	mlDSA87             Details = 22
	mlDSA44             Details = 23
)

// detailsNames holds the enum's names; the index is the number.
var detailsNames = [...]string{
	Unspecified:            "PUBLIC_KEY_DETAILS_UNSPECIFIED",
	pkcs1RSAPKCS1v15:       "PKCS1_RSA_PKCS1V5",
	pkcs1RSAPSS:            "PKCS1_RSA_PSS",
	pkixRSAPKCS1v15:        "PKIX_RSA_PKCS1V5",
	pkixRSAPSS:             "PKIX_RSA_PSS",
	ECDSAP256SHA256:        "PKIX_ECDSA_P256_SHA_256",
	ecdsaP256HMACSHA256:    "PKIX_ECDSA_P256_HMAC_SHA_256",
	Ed25519:                "PKIX_ED25519",
	Ed25519ph:              "PKIX_ED25519_PH",
	RSAPKCS1v15x2048SHA256: "PKIX_RSA_PKCS1V15_2048_SHA256",
	RSAPKCS1v15x3072SHA256: "PKIX_RSA_PKCS1V15_3072_SHA256",
	RSAPKCS1v15x4096SHA256: "PKIX_RSA_PKCS1V15_4096_SHA256",
	ECDSAP384SHA384:        "PKIX_ECDSA_P384_SHA_384",
	ECDSAP521SHA512:        "PKIX_ECDSA_P521_SHA_512",
	lmsSHA256:              "LMS_SHA256",
	lmotsSHA256:            "LMOTS_SHA256",
	RSAPSSx2048SHA256:      "PKIX_RSA_PSS_2048_SHA256",
	RSAPSSx3072SHA256:      "PKIX_RSA_PSS_3072_SHA256",
	RSAPSSx4096SHA256:      "PKIX_RSA_PSS_4096_SHA256",
	ECDSAP384SHA256:        "PKIX_ECDSA_P384_SHA_256",
	ECDSAP521SHA256:        "PKIX_ECDSA_P521_SHA_256",
	mlDSA65:                "ML_DSA_65",
	mlDSA87:                "ML_DSA_87",
	mlDSA44:                "ML_DSA_44",
}

// ParseDetails returns the value with the given enum name ("PKIX_ECDSA_P256_SHA_256"), current and deprecated names
// alike. That a name is known does not mean that its algorithm is supported: ask [ForDetails].
func ParseDetails(name string) (Details, bool) {
	for i, n := range detailsNames {
		if n == name {
			return Details(i), true
		}
	}
	return Unspecified, false
}

// String returns the enum name, or the decimal number of a value that the enum does not have.
func (d Details) String() string {
	if d < 0 || int(d) >= len(detailsNames) {
		return strconv.Itoa(int(d))
	}
	return detailsNames[d]
}
