#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for `pytest -m slurm`; needs root on Debian or Ubuntu.
#
#     scripts/slurm_here.sh start     install (slurm-wlm, munge), start, wait until the node is idle
#     scripts/slurm_here.sh status    what runs
#     scripts/slurm_here.sh stop      stop the daemons and remove their files
#
# Exit status 3: a cluster is not possible here, with the reason. Partitions: `main` (default), and
# `urgent`, whose jobs preempt those of `main`, which are requeued. Memory limits are enforced by
# polling, once a second, since containers rarely hand out cgroups. The node claims four cores at
# least, so that some jobs run at a time anywhere. Users other than root are not served. A slurm.conf that this script did not write is left alone.
set -euo pipefail

conf=/etc/slurm/slurm.conf
mark="# Written by calibrate's scripts/slurm_here.sh"
state=/var/lib/calibrate-slurm

impossible() { echo "slurm_here: no cluster here: $*" >&2; exit 3; }

answers() { [[ $(sinfo --noheader --partition=main --format=%T 2>/dev/null) =~ ^(idle|mixed|allocated) ]]; }

ours() { head -n 1 "$conf" 2>/dev/null | grep -qxF "$mark"; }

install_packages() {
  command -v slurmctld slurmd munged sbatch >/dev/null && return
  command -v apt-get >/dev/null || impossible "slurm-wlm is not installed, and there is no apt-get"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge; } \
    >"$state/apt.log" 2>&1 || impossible "apt-get cannot install slurm-wlm and munge: $(tail -n 1 "$state/apt.log")"
}

write_conf() {
  local host cpus memory
  host=$(hostname -s) cpus=$(( $(nproc) > 4 ? $(nproc) : 4 )) memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
  mkdir -p /etc/slurm
  cat >"$conf" <<CONF
$mark
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$state/controller
SlurmdSpoolDir=$state/node
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
SlurmdTimeout=60
KillWait=2
ReturnToService=2
DefMemPerCPU=1000
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES PriorityTier=1 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=$host PriorityTier=2 MaxTime=INFINITE State=UP
CONF
}

start_munge() {
  munge --no-input 2>/dev/null | unmunge >/dev/null 2>&1 && return
  install -d -o munge -g munge -m 0755 /run/munge
  [[ -s /etc/munge/munge.key ]] || { mungekey --create; chown munge: /etc/munge/munge.key; }
  setpriv --reuid=munge --regid=munge --clear-groups munged
  touch "$state/munge_is_ours"
}

start() {
  [[ $EUID == 0 ]] || impossible "only root can start its daemons"
  ours || [[ ! -e $conf ]] || impossible "$conf is not this script's: use that cluster"
  if ours && answers; then status; return; fi
  mkdir -p "$state/controller" "$state/node"
  install_packages
  write_conf
  start_munge
  slurmctld -c
  slurmd
  local waited=0
  until answers; do
    sleep 0.2
    (( ++waited < 150 )) || impossible "the daemons do not come up: $(tail -qn 1 "$state"/*.log | tr '\n' ' ')"
  done
  status
}

end_daemon() {  # the process of a pid file, if it is the program that is meant
  local pid
  pid=$(cat "$2" 2>/dev/null) && [[ $(ps -o comm= -p "$pid") == "$1" ]] || return 0
  kill "$pid"
  for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$pid"
}

stop() {
  [[ $EUID == 0 ]] || impossible "only root can stop its daemons"
  ours || { echo "slurm_here: no cluster of this script's is set up"; return; }
  if answers; then scancel --user=root && sleep 1; fi
  end_daemon slurmd "$state/slurmd.pid"
  end_daemon slurmctld "$state/slurmctld.pid"
  [[ ! -e $state/munge_is_ours ]] || end_daemon munged /run/munge/munged.pid
  rm -rf "$conf" "$state"
  echo "slurm_here: stopped"
}

status() {
  ours && answers || { echo "slurm_here: not running"; return 1; }
  sinfo
  squeue
}

case ${1-} in
  start | stop | status) "$1" ;;
  *) echo "usage: scripts/slurm_here.sh start|stop|status" >&2; exit 2 ;;
esac
