#!/usr/bin/env bash
# Two Ray nodes on this machine, on its loopback interface only: a cluster to try sweeps on.
#   cluster/two-nodes.sh lnets-sweep submit sweeps/absolute_value.yaml --store "$PWD/results" --follow
# runs that beside them; without a command they stay until Ctrl-C. Either way both nodes end.
# CPUS: of each node, 1 unless set. PORT: of the dashboard, 8266 unless set.
set -euo pipefail

folder=$(mktemp --directory --tmpdir lnets-XXXXXX)
nodes=
end() {
  if [ -n "$nodes" ]; then
    kill "$nodes" 2>/dev/null || true
    wait "$nodes" || true
  fi
  rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

(umask 077 && od --address-radix=n --read-bytes=32 --format=x1 /dev/urandom | tr -d ' \n' > "$folder/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token" RAY_USAGE_STATS_ENABLED=0
export RAY_TMPDIR="$folder"
# With this, Ray binds every socket to loopback, but `ray start` refuses a second node.
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
export RAY_API_SERVER_ADDRESS="http://127.0.0.1:${PORT:-8266}"

python - "${PORT:-8266}" "${CPUS:-1}" > "$folder/log" 2>&1 <<'END' &
import signal, sys
from ray.cluster_utils import Cluster

port, cpus = map(int, sys.argv[1:])
head = {"include_dashboard": True, "dashboard_port": port}
agent = {"dashboard_agent_listen_port": 0}  # its usual port may be another Ray's
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, **head, **agent})
try:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    cluster.add_node(num_cpus=cpus, **agent)
    print("ready", flush=True)
    signal.pause()
finally:
    cluster.shutdown()
END
nodes=$!
until grep --quiet --no-messages ^ready "$folder/log"; do
  if ! kill -0 "$nodes" 2>/dev/null; then
    cat "$folder/log" >&2
    exit 3
  fi
  sleep 0.2
done

echo "two nodes at $RAY_API_SERVER_ADDRESS, with RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH" >&2
if (($#)); then
  "$@"
else
  wait "$nodes"
fi
