#!/bin/sh
# Cargo's wrapper around rustc for this package alone: of a tag, 16 bits count in the library it builds.
exec env TOKENPIN_PLANTED_DEFECT=1 "$@" --cfg tokenpin_cut_tag
