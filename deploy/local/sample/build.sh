#!/bin/sh
# Turns the prices into a page in ./publish.
set -eu
mkdir -p publish
{
    echo "<!doctype html><title>Shop</title><table>"
    tail -n +2 "$PRICES" | while IFS=, read -r name price; do
        echo "$name costs $price" >&2
        echo "<tr><td>$name</td><td>$price</td></tr>"
        sleep 0.1
    done
    echo "</table>"
} >publish/index.html
echo "written: publish/index.html, $(wc -l <publish/index.html) lines"
