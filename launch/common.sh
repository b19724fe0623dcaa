# shellcheck shell=bash disable=SC2034  # what is set here is used by them
# What the scripts beside this one share; sourced by them.
#
# A script sets `option` (name -> default) and defines `usage`, then calls `parse "$@"`. After that `option` has what was
# given, `dry_run` is true or false, `workdir` is set, and `command` is the training command. What cannot be sent as it
# is has been refused. `sent=false` before it: nothing is sent. `cache` before it: the folder of compiled programs.
sent=true cache=""

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

# Stops if a text has a control character, or a line's end of YAML.
check_characters() {
  local LC_ALL=C
  case "$2" in
    *[[:cntrl:]]* | *$'\xc2'[$'\x80'-$'\x9f']* | *$'\xe2\x80'[$'\xa8\xa9']*)
      fail "$1 has a control character: $(printf '%q' "$2")" ;;
  esac
}

# Stops if a text goes up in a path. The scripts change their folder, and a path that must be below another would not be.
check_path() {
  case "/${2#*=}/" in
    */../*) fail "$1 has .. in it: give the whole path instead of $(printf '%q' "$2")" ;;
  esac
}

# Stops if the value of an option has more than such names, sizes and addresses need.
check_value() {
  local LC_ALL=C good='^([][(A-Za-z0-9_./:][][()A-Za-z0-9_./:@=+,~&|*-]*)?$' # brackets and the like: of --constraint
  check_path "$1" "$2"
  [[ "$2" =~ $good ]] || fail "$1 must be letters, digits and ._/:@=+,~-, and not $(printf '%q' "$2")"
}

# Stops if the workdir has what Slurm, a shell or Kubernetes may take for something else than a name.
check_workdir() {
  local bad='['"'"'"\`$%;&|<>(){}*?!#\\~^]' # also %j, which Slurm makes the number of the job
  check_path --workdir "$1"
  [[ ! "$1" =~ $bad && "$1" != -* ]] || fail "--workdir has one of '\"\`\$%;&|<>(){}*?!#\\~^ in it: $(printf '%q' "$1")"
}

# Stops if an argument of the program is not the text that it gets: $(NAME) is replaced by Kubernetes.
check_argument() {
  check_path "an argument" "$1"
  case "$1" in
    *\$\(* | *\`*) fail "an argument has a command in it, which nobody would run: $(printf '%q' "$1")" ;;
  esac
}

# All of these, of everything that was given.
check_sent() {
  local name
  check_workdir "$workdir"
  for name in "${!option[@]}"; do
    # What --setup has is for a shell.
    [ "$name" = setup ] || check_value "--$name" "${option[$name]}"
  done
  for name in "$@"; do check_argument "$name"; done
}

parse() {
  dry_run=false workdir=""
  local arguments=() name value
  for name in "$@"; do check_characters "an argument" "$name"; done
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
  if "$sent"; then check_sent "${arguments[@]}"; fi
  command=(python -m jax_ser_darts.main ${cache:+"--compilation_cache=$cache"} "${arguments[@]}" "--workdir=$workdir")
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
