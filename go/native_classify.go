//go:build cgo && !purego

package tokenpin

/*
#include "native.h"

// See native.h.
#cgo noescape tp_affinity_classify
#cgo nocallback tp_affinity_classify
#cgo noescape tp_classify
#cgo nocallback tp_classify
*/
import "C"

import "runtime"

func nativeRules(pinner *runtime.Pinner, rules []Rule) []C.tokenpin_rule {
	made := make([]C.tokenpin_rule, len(rules))
	for i, rule := range rules {
		made[i] = C.tokenpin_rule{
			pattern: pinned(pinner, rule.Pattern), group: C.uint8_t(rule.Group), ids: C.uint8_t(rule.IDs),
		}
	}
	return made
}

func (a *nativeAffinity) classify(method, target string) (Class, Status) {
	var group, existing, ids C.uint8_t
	s := Status(C.tp_affinity_classify(a.c, str(method), str(target), &group, &existing, &ids))
	return Class{Group(group), existing == 1, IDs(ids)}, s
}

func (native) classify(rules []Rule, replace, promptCache bool, method, target string) (Class, Status) {
	var table *C.tokenpin_rule
	if len(rules) > 0 {
		var pinner runtime.Pinner
		defer pinner.Unpin()
		table = &nativeRules(&pinner, rules)[0]
	}
	var group, existing, ids C.uint8_t
	s := Status(C.tp_classify(table, C.size_t(len(rules)), switched(replace), switched(promptCache), str(method),
		str(target), &group, &existing, &ids))
	return Class{Group(group), existing == 1, IDs(ids)}, s
}
