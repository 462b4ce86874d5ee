//go:build cgo && !purego

package tokenpin

/*
#include "native.h"
*/
import "C"

import "unsafe"

// The tests' calls of the library; test files cannot use cgo.

func nativeName(which, number int) (string, bool) {
	var name C.tokenpin_bytes
	if C.tokenpin_enum_name(C.int32_t(which), C.int32_t(number), &name) != C.TOKENPIN_STATUS_OK {
		return "", false
	}
	return C.GoStringN((*C.char)(unsafe.Pointer(name.ptr)), C.int(name.len)), true
}

func nativeDefaults() Config {
	var c C.tokenpin_config
	C.tokenpin_config_init(&c, C.sizeof_tokenpin_config)
	return Config{
		Strategy: Strategy(c.strategy),
		Attributes: Attributes{
			Secure: c.attributes.secure == 1, HTTPOnly: c.attributes.http_only == 1,
			SameSite: SameSite(c.attributes.same_site), Partitioned: c.attributes.partitioned == 1,
		},
		MaxAge: uint32(c.max_age), Skew: uint32(c.skew), MaxLife: uint32(c.max_life), MaxIdle: uint32(c.max_idle),
		SuccessFirst: uint16(c.success_first), SuccessLast: uint16(c.success_last),
		PolicyExisting: Policy(c.policy_existing), PolicyNew: Policy(c.policy_new),
		CombineKeys: c.combine_keys == 1, RejectBadKeys: c.reject_bad_keys == 1, KeyedCookies: c.keyed_cookies == 1,
		MintSingle: c.mint_single == 1, PromptCache: c.prompt_cache == 1,
		ReplaceRules: c.replace_rules == 1,
		IDs: IDConfig{Mode: Mode(c.id_mode), Owner: IDOwner(c.id_owner), ForeignSeals: ForeignSeals(c.foreign_seals),
			Encrypted: c.encrypted_content == 1},
	}
}

func nativeLimits() [17]int64 {
	return [...]int64{C.TOKENPIN_SLOT_NONE, C.TOKENPIN_MAX_WEIGHT, C.TOKENPIN_MAX_UNTIL, C.TOKENPIN_MAX_BUCKETS,
		C.TOKENPIN_MAX_SCOPE, C.TOKENPIN_MAX_KEY, C.TOKENPIN_MAX_COOKIE_KEYS, C.TOKENPIN_MAX_COOKIE_NAME,
		C.TOKENPIN_COOKIE_VALUE_LEN, C.TOKENPIN_MAX_ATTRIBUTE, C.TOKENPIN_MAX_SET_COOKIE, C.TOKENPIN_MAX_MAX_AGE,
		C.TOKENPIN_MAX_AGE_AUTO, C.TOKENPIN_MAX_ID, C.TOKENPIN_MAX_SEALED_ID, C.TOKENPIN_ID_MARK_LEN, C.TOKENPIN_ID_KEY_NONE}
}

// craft gives a slot an identity hash that no identity is known to have.
func (s nativeSlots) craft(slot int, hash uint64) { s[slot].identity_hash = C.uint64_t(hash) }
