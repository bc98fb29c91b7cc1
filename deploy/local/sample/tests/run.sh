#!/bin/sh
# Every price is a positive number, and no name appears twice.
set -eu
count=0
tail -n +2 "$PRICES" | while IFS=, read -r name price; do
    count=$((count + 1))
    case $price in
        '' | *[!0-9.]*) echo "not ok $count - the price of $name is '$price'"; exit 1 ;;
        *) echo "ok $count - $name has a price" ;;
    esac
    sleep 0.1
done
doubles=$(tail -n +2 "$PRICES" | cut -d, -f1 | sort | uniq -d)
[ -z "$doubles" ] || { echo "not ok - twice: $doubles"; exit 1; }
echo "ok - no name appears twice"
