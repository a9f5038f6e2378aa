# Backups every night, for machines without systemd, or if you prefer cron to backy2.timer. Remove the # to turn it on.
# Cron mails problems to MAILTO.
MAILTO=root
#30 1 * * *  root  /usr/bin/backy2 run
