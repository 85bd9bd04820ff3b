# Type wireguard: a WireGuard device whose encrypted packets take the host's network, while what is inside has nothing
# but the tunnel. kubens-netns(5)
#
#   WIREGUARD_CONFIG      a file as of wg(8) or wg-quick(8): /etc/wireguard/NAME.conf
#   WIREGUARD_IFADDR      addresses/lengths inside: those of Address= in it
#   WIREGUARD_MTU         MTU= in it, else 1420
#   WIREGUARD_IFNAME      the device's name: wg-NAME
#   WIREGUARD_USERSPACE   what makes the device where the kernel cannot: wireguard-go
#
# What AllowedIPs= lists is routed through it. DNS= is for /etc/netns/NAME/resolv.conf; hooks and tables are passed over.

NO_CONFIG_REQUIRED=1

# The values of wg-quick's KEY in the [Interface] section.
wireguard_values() {
    sed -n '/^[[:space:]]*\[/h; G; /\n[[:space:]]*\[Interface\]/I s/^[[:space:]]*'"$1"'[[:space:]]*=\([^#\n]*\).*/\1/Ip' \
        "$WIREGUARD_CONFIG" | tr ',' ' '
}

configure_wireguard_up_outside() {
    local device=${WIREGUARD_IFNAME:-wg-$1}
    WIREGUARD_CONFIG=${WIREGUARD_CONFIG:-/etc/wireguard/$1.conf}
    netns_ifname WIREGUARD_IFNAME "$device"
    if [[ ! -r $WIREGUARD_CONFIG ]]; then
        netns_fail "$WIREGUARD_CONFIG cannot be read: write it, or set WIREGUARD_CONFIG in $NETNS_DIRECTORY/wireguard-$1.conf"
    fi
    if [[ -e /sys/class/net/$device ]]; then
        netns_fail "there is a device $device on the host already: remove it, or set WIREGUARD_IFNAME"
    fi
    : >"$NETNS_STATE/device"
    # Its socket stays in the network namespace that it is made in.
    ip link add "$device" type wireguard 2>/dev/null || "${WIREGUARD_USERSPACE:-wireguard-go}" "$device"
    # Here, where the names of endpoints can be resolved.
    wg setconf "$device" <(sed -E '/^[[:space:]]*(Address|DNS|MTU|Table|(Pre|Post)(Up|Down)|SaveConfig)[[:space:]]*=/Id' \
        "$WIREGUARD_CONFIG")
    wg show "$device" allowed-ips >"$NETNS_STATE/allowed-ips"
    ip link set "$device" netns "$1"
}

configure_wireguard_up_inside() {
    local device=${WIREGUARD_IFNAME:-wg-$1} address mtu routes route
    WIREGUARD_CONFIG=${WIREGUARD_CONFIG:-/etc/wireguard/$1.conf}
    for address in ${WIREGUARD_IFADDR:-$(wireguard_values Address)}; do
        ip address add "$address" dev "$device"
    done
    mtu=${WIREGUARD_MTU:-$(wireguard_values MTU)}
    # shellcheck disable=SC2086
    ip link set "$device" mtu ${mtu:-1420} up
    while read -r _ routes; do
        for route in $routes; do
            if [[ $route != "(none)" ]]; then
                ip route replace "$route" dev "$device"
            fi
        done
    done <"$NETNS_STATE/allowed-ips"
}

configure_wireguard_down_outside() {
    local device=${WIREGUARD_IFNAME:-wg-$1}
    if [[ -e /run/netns/$1 ]] && ip -netns "$1" link show "$device" >/dev/null 2>&1; then
        ip -netns "$1" link delete "$device"
    fi
    if [[ -e $NETNS_STATE/device && -e /sys/class/net/$device ]]; then
        ip link delete "$device"
    fi
}
