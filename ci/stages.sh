# Runs commands as stages: each in a time budget, with its output kept, counted and timed.
# Sourced by ci/test; owns the table of results, decides nothing about what is run.

logs=${CARGO_TARGET_DIR:-target}/ci
# A slow or shared machine may need more time than the budgets give: 2 doubles them.
scale=${BUDGET_SCALE:-1}

rows=()
passed=0
failed=0
unreachable=0
child=

mkdir -p "$logs"
rm -f "$logs"/*.log "$logs/summary"

# stage NAME MINUTES COMMAND...: runs the command; true when it succeeded.
stage() {
    local name=$1 seconds=$(($2 * 60 * scale)) log=$logs/$1.log began=$SECONDS status
    shift 2
    printf '\n=== %s: %s\n' "$name" "$*"
    # The output goes to a file first: a process that outlives its stage must not hold a pipe open.
    : >"$log"
    timeout --kill-after=15 "$seconds" "$@" </dev/null >"$log" 2>&1 &
    child=$!
    tail -n +1 -s 0.2 -f --pid=$child "$log"
    wait "$child"
    status=$?
    child=
    record "$name" "$status" $((SECONDS - began)) "$seconds"
    return "$status"
}

# blocked NAME REASON: a stage that could not be run counts as one failure.
blocked() {
    printf '\n=== %s: not run: %s\n' "$1" "$2"
    failed=$((failed + 1))
    rows+=("$(printf '%-12s %-12s %s' "$1" 'not run' "$2")")
}

record() {
    local name=$1 status=$2 took=$3 budget=$4 result counts good bad
    counts=$(awk -f ci/count.awk "$logs/$name.log")
    read -r good bad <<<"$counts"
    case $status in
    0) result=ok ;;
    3) result=unreachable ;;
    124 | 137) result='out of time' ;;
    *) result=FAILED ;;
    esac
    # A stage that counts nothing is one check; one that fails has at least one failure.
    if [ "$status" -eq 0 ]; then
        [ $((good + bad)) -gt 0 ] || good=1
    elif [ "$status" -eq 3 ]; then
        unreachable=$((unreachable + 1))
    else
        [ "$bad" -gt 0 ] || bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    rows+=("$(printf '%-12s %-12s %6s of %6s %7d passed %4d failed' "$name" "$result" \
        "$(clock "$took")" "$(clock "$budget")" "$good" "$bad")")
}

clock() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# Prints the table and the totals; the last line stands alone for whoever reads by machine.
summary() {
    printf '\n%s\n' "=== summary after $(clock "$SECONDS")"
    printf '%s\n' "${rows[@]}"
    [ "$unreachable" -eq 0 ] || printf '%s\n' \
        "A package registry was unreachable: what needs it was not checked, which is no failure of a client."
    printf '%d passed, %d failed\n' "$passed" "$failed" | tee "$logs/summary"
}

# The exit code of the whole: 1 for a failure, 3 where a registry alone stood in the way.
verdict() {
    [ "$failed" -eq 0 ] || return 1
    [ "$unreachable" -eq 0 ] || return 3
}

stop() {
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    exit 130
}
trap stop INT TERM
