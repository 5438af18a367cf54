# Adds up the tests that a log reports, in the three forms our programs use; prints "passed failed".

# cargo test: "test result: ok. 12 passed; 0 failed; …"
/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
    }
}

# A line of its own: "12 passed, 0 failed"
/^[0-9]+ passed, [0-9]+ failed/ {
    passed += $1
    failed += $3
}

# A table with one client a row: "client  passed  failed …"
/^client +passed +failed/ {
    table = 1
    next
}
table && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ {
    passed += $2
    failed += $3
    next
}
{
    table = 0
}

END {
    print passed + 0, failed + 0
}
