#!/bin/sh
# muscale data pack | info | gen: results, and the rows of bad input that concern data.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"

t "bytes"
printf 'The quick brown fox jumps over the lazy dog.\n%.0s' 1 2 3 4 5 6 7 8 9 10 >text
ok data pack -o corpus text
has "tokenizer byte"
ok --json data info corpus
json .schema muscale.data/1
json '.train_tokens + .val_tokens' 450
json .val_tokens 22
json .vocab 256
json .max_id 122
json .bytes_per_token 1
json .entropy_rate null
sum=$(printf '%s' "$out" | sed -n 's/.*"sha256": "\([0-9a-f]*\)".*/\1/p')
same 64 "${#sum}" "length of sha256"
t "the identity is the sha256 of the tokens, as doc/formats.md says"
same "$sum" "$({ tail -c +1025 corpus/train_000000.bin; tail -c +1025 corpus/val_000000.bin; printf 'width=2 train=428 val=22\n'; } |
    sha256sum | cut -d' ' -f1)" sha256
ok -q data pack -o again text
same "$out$err" "" "-q prints nothing"
ok --json data info again
has "$sum"
t "a foreign directory with the same tokens has the same identity"
cp -r corpus foreign && rm foreign/meta.json
ok --json data info foreign
has "$sum"
json .format llm.c

t "ids on standard input"
printf '1 2 3\n4 5 6 7\n' >ids
run_from ids data pack --tokenizer ids -o numbers -
rc_is 0
ok --json data info numbers
json '.train_tokens + .val_tokens' 7
json .vocab 8
json .bytes_per_token null
run_from ids data pack --tokenizer ids --bytes-per-token 4.5 --vocab 100 -o numbers -
rc_is 0
ok --json data info numbers
json .vocab 100
json .bytes_per_token 4.5

t "a source of known entropy"
ok --json data gen -o markov --source markov --vocab 16 --order 1 --tokens 20000 --seed 3
json '.entropy_rate < 2.5 and .entropy_rate > 0.3' true
json '.train_tokens + .val_tokens' 20000
rate=$(printf '%s' "$out" | sed -n 's/.*"entropy_rate": \([0-9.]*\).*/\1/p')
ok --json data info markov
has "$rate"
ok data gen -o markov --source markov --vocab 16 --order 1 --tokens 20000 --seed 3
has "nats/token"

t "headerless files need a dtype"
printf '\001\000\002\000\003\000' >raw
bad 3 "raw: no token file" data info raw
err_has "--dtype u16"
ok --json data info raw --dtype u16
json .format raw
json .max_id 3
bad 3 "no whole number of u32" data info raw --dtype u32
bad 3 "none of u8, u16, u32" data info raw --dtype int16

t "missing, truncated, foreign"
bad 3 "nowhere: no such file or directory" data info nowhere
err_has "data pack"
cp corpus/train_000000.bin shard.bin
ok data info shard.bin
truncate -s -2 shard.bin
bad 3 "shard.bin: truncated or damaged: its header promises 428 tokens" data info shard.bin
truncate -s 3 shard.bin
bad 3 "shard.bin: no token file" data info shard.bin
: >shard.bin
bad 3 "shard.bin: is empty" data info shard.bin
bad 3 "text: no token file" data info text
cp -r corpus damaged
rm damaged/val_000000.bin
bad 3 "damaged/meta.json: promises 428 training and 22 validation tokens" data info damaged
cp corpus/val_000000.bin damaged/ && echo '{"schema":"muscale.fit/1"}' >damaged/meta.json
bad 3 "damaged/meta.json" data info damaged
mkdir empty
bad 3 "empty: holds no token data" data info empty

t "bad ids are named by file, line and column"
printf '1 2 3\n4 -5 6\n' >ids
bad 3 "ids:2:3: '-5' is a negative token id" data pack --tokenizer ids -o x ids
printf '1 2 3\n4 500\n' >ids
bad 3 "ids:2:3: '500' is not below vocab 256" data pack --tokenizer ids --vocab 256 -o x ids
bad 3 "text:1:1: 'The' is no token id" data pack --tokenizer ids -o x text
: >none
bad 3 "holds no tokens" data pack -o x none
bad 3 "missing: cannot open" data pack -o x text missing
same "$(ls -d x .x.* 2>/dev/null)" "" "what a failure leaves behind"

t "usage"
bad 2 "-o DIR is missing" data pack text
bad 2 "no input" data pack -o x
bad 2 "tokenizer 'bpe'" data pack -o x --tokenizer bpe text
bad 2 "val fraction" data pack -o x --val-fraction 1 text
bad 2 "--val-fraction: '0.1x'" data pack -o x --val-fraction 0.1x text
bad 2 "bytes always have 256" data pack -o x --vocab 300 text
bad 2 "--source markov" data gen -o x --vocab 4 --tokens 100
bad 3 "order 2 fits" data gen -o x --source markov --vocab 256 --order 3 --tokens 100
bad 2 "did you mean '--tokenizer'" data pack -o x --tokeniser ids text
bad 2 "one path" data info

t "what is there is kept"
mkdir mine && echo diary >mine/diary.txt
bad 3 "holds 'diary.txt'" data pack -o mine text
same "$(cat mine/diary.txt)" diary
bad 3 "exists and is not a directory" data pack -o text text

t "read-only directory: 1"
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod a-w locked
    bad 1 "cannot make directory" data pack -o locked/x text
fi
t "full disk: 1"
if (ulimit -f 1) 2>/dev/null; then
    head -c 300000 /dev/zero >zeros
    rc=0
    (trap '' XFSZ; ulimit -f 1; exec "$muscale" data pack -o x zeros) >"$scratch/.io/out" 2>"$scratch/.io/err" || rc=$?
    out=$(cat "$scratch/.io/out") err=$(cat "$scratch/.io/err") last="data pack -o x zeros (file size limit)"
    rc_is 1
    one_error
    err_has "cannot write"
    same "$(ls -d x .x.* 2>/dev/null)" "" "what a full disk leaves behind"
fi
finish
