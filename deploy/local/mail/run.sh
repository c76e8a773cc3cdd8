# Runs both servers, as root in a mount namespace of their own, where their files lie where they look for them and
# their users exist. Mailboxes and queue lie in memory, and end with them.
set -e
packages=$1 here=$2
cd "$packages"
mount -t overlay packages -o lowerdir=usr:/usr /usr
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=755 var /var
mkdir -p /run/mail /run/box /var/lib/opensmtpd/empty /var/mail /var/spool
mkdir -m 711 /var/spool/smtpd
ln -s /run /var/run
chown nobody:nogroup /run/box
cp "$here"/conf/* /run/mail/
cd /run/mail
chown root:root ./*
chmod 644 ./*
chmod 600 server.key
for user in opensmtpd:59001 opensmtpq:59002; do
    name=${user%:*} number=${user#*:}
    echo "$name:x:$number:$number::/var/lib/opensmtpd/empty:/usr/sbin/nologin" >> passwd
    echo "$name:x:$number:" >> group
done
for file in passwd group; do
    grep -v '^opensmtp[dq]:' "/etc/$file" >> "$file"
    mount --bind "$file" "/etc/$file"
done
case $(dovecot --version) in
    2.3.*) version=2.3 ;;
    *) version=2.4 ;;
esac
smtpd -d -f /run/mail/smtpd.conf &
exec dovecot -F -c "/run/mail/dovecot-$version.conf"
