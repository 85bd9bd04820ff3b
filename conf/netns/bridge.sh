# Type bridge: a pair of devices, whose outer end is a port of a bridge of the host. kubens-netns(5)
#
#   BRIDGE_MASTER                                the bridge, which must be there; needed
#   BRIDGE_IFADDR                                address/length inside; needed
#   BRIDGE_GATEWAY                               default route inside
#   BRIDGE_MAC                                   of the inner end
#   BRIDGE_IFNAME_OUTSIDE  BRIDGE_IFNAME_INSIDE  names of the ends: vb-NAME0 and vb-NAME1

bridge_names() {
    outside=${BRIDGE_IFNAME_OUTSIDE:-vb-${1}0}
    inside=${BRIDGE_IFNAME_INSIDE:-vb-${1}1}
}

configure_bridge_up_outside() {
    local outside inside
    bridge_names "$1"
    netns_require BRIDGE_MASTER BRIDGE_IFADDR
    netns_ifname BRIDGE_IFNAME_OUTSIDE "$outside"
    netns_ifname BRIDGE_IFNAME_INSIDE "$inside"
    if [[ ! -e /sys/class/net/$BRIDGE_MASTER/bridge ]]; then
        netns_fail "there is no bridge $BRIDGE_MASTER: make it first, and order netns_outside-bridge@$1.service after that"
    fi
    ip link add "$outside" type veth peer name "$inside" ${BRIDGE_MAC:+address "$BRIDGE_MAC"} netns "$1"
    ip link set "$outside" master "$BRIDGE_MASTER" up
}

configure_bridge_up_inside() {
    local outside inside
    bridge_names "$1"
    # shellcheck disable=SC2086 # May carry `broadcast ...` and the like.
    ip address add $BRIDGE_IFADDR dev "$inside"
    ip link set "$inside" up
    if [[ ${BRIDGE_GATEWAY-} ]]; then
        ip route add default via "$BRIDGE_GATEWAY" dev "$inside"
    fi
}

configure_bridge_down_outside() {
    local outside inside
    bridge_names "$1"
    if [[ -e /run/netns/$1 ]] && ip -netns "$1" link show "$inside" >/dev/null 2>&1; then
        ip -netns "$1" link delete "$inside"
    fi
}
