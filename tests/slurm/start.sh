#!/usr/bin/env bash
# Starts munge, a Slurm controller and one node of two cores on this machine, without systemd. Debian: as root,
#
#   apt-get install -y slurm-wlm munge && bash tests/slurm/start.sh [FOLDER]
#
# FOLDER (default /tmp/slurm) holds the configuration, the state and the logs. Overwrites /etc/slurm/slurm.conf,
# where all of Slurm's commands look. Does nothing if a controller answers already.
set -euo pipefail

folder=${1:-/tmp/slurm}
if timeout 10 scontrol ping 2> /dev/null | grep -q 'UP'; then
    echo "A Slurm controller is running."
    exit 0
fi
host=$(hostname -s)
mkdir -p "$folder"/{state,spool} /run/munge /etc/slurm
chown munge: /run/munge
chmod 755 /run/munge
[ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
munge -n > /dev/null 2>&1 || runuser -u munge -- munged

cat > /etc/slurm/slurm.conf << CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5 # seconds, for which a requeued job waits; 120 by default
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=requeue_setup_env_fail,bf_interval=1,sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
KillWait=30
OverTimeLimit=0
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
slurmctld
slurmd
for _ in $(seq 100); do
    if sinfo -h -o %T 2> /dev/null | grep -q idle; then
        sinfo
        exit 0
    fi
    sleep 0.2
done
echo "error: the node did not come up; see $folder/slurmctld.log and $folder/slurmd.log." >&2
exit 1
