# Type macvlan: a device of its own on a network card of the host. kubens-netns(5)
#
#   MACVLAN_PARENT_IFNAME   the card; needed
#   MACVLAN_IFADDR          address/length, with `broadcast ...` where wanted; needed
#   MACVLAN_GATEWAY         default route
#   MACVLAN_MODE            private, vepa, bridge, passthru or source; bridge
#   MACVLAN_MAC
#   MACVLAN_IFNAME          the device's name: mv-NAME
#
# $HOST_IFNAME, $HOST_ADDR and $HOST_GATEWAY are what the host's default route goes through, for use in variables.

configure_macvlan_up_outside() {
    local device=${MACVLAN_IFNAME:-mv-$1}
    netns_require MACVLAN_PARENT_IFNAME MACVLAN_IFADDR
    netns_ifname MACVLAN_IFNAME "$device"
    ip link add link "$MACVLAN_PARENT_IFNAME" name "$device" ${MACVLAN_MAC:+address "$MACVLAN_MAC"} netns "$1" \
        type macvlan mode "${MACVLAN_MODE:-bridge}"
}

configure_macvlan_up_inside() {
    local device=${MACVLAN_IFNAME:-mv-$1}
    # shellcheck disable=SC2086
    ip address add $MACVLAN_IFADDR dev "$device"
    ip link set "$device" up
    if [[ ${MACVLAN_GATEWAY-} ]]; then
        ip route add default via "$MACVLAN_GATEWAY" dev "$device"
    fi
}

configure_macvlan_down_outside() {
    local device=${MACVLAN_IFNAME:-mv-$1}
    if [[ -e /run/netns/$1 ]] && ip -netns "$1" link show "$device" >/dev/null 2>&1; then
        ip -netns "$1" link delete "$device"
    fi
}
