cd /tmp/wip
sed -i 's/\bsignal_add\b/add_signal/g; s/\bsignal_del\b/del_signal/g; s/\bsignal_active\b/active_signal/g; s/\bmap_add\b/add_io/g; s/\bmap_del\b/del_io/g; s/\bmap_active\b/active_io/g' *.cc *.hh
