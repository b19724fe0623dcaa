# shellcheck shell=bash disable=SC2034  # what is set here is used by them
# What the scripts beside this one share; sourced by them.
#
# A script sets `option` (name -> default) and defines `usage`, then calls `parse "$@"`. After that `option` has what was
# given, `dry_run` is true or false, `workdir` is set, and `command` is the training command.

# Stops with a message; exit status 2.
fail() {
  echo "error: $*" >&2
  exit 2
}

# A command on one line, quoted so that a shell reads it back.
shown() {
  printf '%q ' "$@"
  echo
}

# A text as a JSON string, which is YAML too.
json() {
  local text="${1//\\/\\\\}"
  [[ "$text" != *[[:cntrl:]]* ]] || fail "a control character in $(printf '%q' "$1")"
  printf '"%s"' "${text//\"/\\\"}"
}

# All of them as a JSON list.
json_list() {
  local separator="" item
  printf '['
  for item in "$@"; do
    printf '%s%s' "$separator" "$(json "$item")"
    separator=", "
  done
  printf ']'
}

parse() {
  dry_run=false workdir=""
  local arguments=() name value
  while [ $# -gt 0 ]; do
    name="${1#--}" name="${name%%=*}"
    if [ "$1" = --help ] || [ "$1" = -h ]; then
      usage
      exit 0
    elif [ "$1" = --dry-run ]; then
      dry_run=true
    elif [[ "$1" = --workdir* && "$name" = workdir ]] || [[ "$1" = --?* && -n "${option[$name]+known}" ]]; then
      if [[ "$1" = *=* ]]; then
        value="${1#*=}"
      else
        [ $# -gt 1 ] || fail "$1 needs a value"
        value="$2"
        shift
      fi
      if [ "$name" = workdir ]; then workdir="$value"; else option["$name"]="$value"; fi
    else
      arguments+=("$1")
    fi
    shift
  done
  if [ -z "$workdir" ]; then
    usage >&2
    fail "--workdir=DIR is missing"
  fi
  command=(python -m jax_ser_darts.main "${arguments[@]}" "--workdir=$workdir")
}

# Stops if one of these options is empty.
need() {
  local name
  for name in "$@"; do
    [ -n "${option[$name]}" ] || fail "--$name is missing; see --help"
  done
}

# Stops if one of these options is no whole number above 0.
need_number() {
  local name
  for name in "$@"; do
    [[ "${option[$name]}" =~ ^[1-9][0-9]*$ ]] || fail "--$name=${option[$name]} must be a whole number above 0"
  done
}
