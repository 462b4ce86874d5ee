#!/usr/bin/env bash
# Compiles and runs the programs of a page against the jars only, as someone elsewhere would.
#   readme.sh PAGE JARS FOLDER JAVA_HOME
set -euo pipefail

page=${1:?usage: readme.sh PAGE JARS FOLDER JAVA_HOME} jars=$2 folder=$3 home=$4
rm -rf "$folder"
mkdir -p "$folder"
awk -v folder="$folder" '
  /^```java$/ { within = 1; text = ""; next }
  /^```$/ && within { within = 0; print text > (folder "/" name ".java"); next }
  within { text = text $0 "\n"; if (match($0, /^public class [A-Za-z]+/)) name = substr($0, 14, RLENGTH - 13) }
' "$page"
programs=("$folder"/*.java)
[ "${#programs[@]}" -ge 3 ] || { echo "readme.sh: too few programs in $page" >&2; exit 1; }
"$home/bin/javac" -Xlint:all -Werror -proc:none --class-path "$jars/*" -d "$folder" "${programs[@]}"
for program in "${programs[@]}"; do
  "$home/bin/java" --class-path "$jars/*:$folder" "$(basename "$program" .java)"
done
echo "${#programs[@]} programs of $page ran"
