#!/usr/bin/env bash
# Starts the three nodes of this example, loads objects.toml, says what to try,
# and stops the nodes on Ctrl-C. What they wrote stays in data/three-nodes.
set -euo pipefail
cd "$(dirname "$0")/../../.."
tandem=${TANDEM:-bin/tandem}
here=deploy/examples/three-nodes
data=data/three-nodes

[[ -x $tandem ]] || make build
export TANDEM_ADDR=127.0.0.11:8443,127.0.0.12:8443,127.0.0.13:8443
if [[ ! -d $data ]]; then
	mkdir -p data
	(umask 077 && "$tandem" init --quiet --dir "$data" --nodes n1=127.0.0.11,n2=127.0.0.12,n3=127.0.0.13 >data/token)
fi
TANDEM_TOKEN=$(<data/token)
export TANDEM_TOKEN

pids=()
stop() {
	trap - EXIT INT TERM
	kill "${pids[@]}" 2>/dev/null || true
	wait
	echo "stopped; the data is in $data"
}
trap stop EXIT INT TERM
for n in n1 n2 n3; do
	"$tandem" serve --quiet --config "$here/$n.toml" >"$data/$n.log" 2>&1 &
	pids+=($!)
done

echo "starting, logs in $data/*.log"
for _ in {1..60}; do
	for n in 0 1 2; do
		kill -0 "${pids[n]}" 2>/dev/null || { tail -n 3 "$data/n$((n + 1)).log"; exit 1; }
	done
	"$tandem" param list --quiet >/dev/null 2>&1 && break # answers when the first token is stored
	sleep 0.5
done
"$tandem" apply -f "$here/objects.toml"
"$tandem" status
cat <<END

export TANDEM_ADDR=$TANDEM_ADDR
export TANDEM_TOKEN=\$(<data/token)
try:  $tandem members
      $tandem route simulate 8613800138000 --account acme
      $tandem load run --from 127.0.0.51:5060 --carrier 127.0.0.52:5060 --cps 5 --calls 50 --hold 5s
or:   sipp -sn uas -i 127.0.0.52 -p 5060
      sipp -sn uac -i 127.0.0.51 -p 5060 -s 8613800138000 -r 5 -m 50 -d 5000 127.0.0.11:5060
then: $tandem cdr search; $tandem account show acme
Ctrl-C stops the nodes.
END
wait
