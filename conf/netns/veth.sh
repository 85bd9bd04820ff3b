# Type veth: a pair of devices, one end on the host and one inside. kubens-netns(5)
#
#   VETH_IFADDR_OUTSIDE  VETH_IFADDR_INSIDE    address/length of each end; both are needed
#   VETH_MAC_OUTSIDE     VETH_MAC_INSIDE
#   VETH_IFNAME                                what the names of both begin with: ve-
#   VETH_IFNAME_OUTSIDE  VETH_IFNAME_INSIDE    $VETH_IFNAME, NAME, and 0 or 1
#   VETH_GATEWAY                               default route inside
#   VETH_NSNAME_OUTSIDE                        the network namespace that the outer end is in, instead of the host's;
#                                              order netns_outside-veth@NAME.service after what makes it

veth_names() {
    outside=${VETH_IFNAME_OUTSIDE:-${VETH_IFNAME:-ve-}${1}0}
    inside=${VETH_IFNAME_INSIDE:-${VETH_IFNAME:-ve-}${1}1}
    outer_ip=(ip)
    if [[ ${VETH_NSNAME_OUTSIDE-} ]]; then
        outer_ip+=(-netns "$VETH_NSNAME_OUTSIDE")
    fi
}

configure_veth_up_outside() {
    local outside inside outer_ip
    veth_names "$1"
    netns_require VETH_IFADDR_OUTSIDE VETH_IFADDR_INSIDE
    netns_ifname VETH_IFNAME_OUTSIDE "$outside"
    netns_ifname VETH_IFNAME_INSIDE "$inside"
    # Both ends at once where they belong: there is no moment in which one would have to be looked for elsewhere.
    "${outer_ip[@]}" link add "$outside" ${VETH_MAC_OUTSIDE:+address "$VETH_MAC_OUTSIDE"} type veth \
        peer name "$inside" ${VETH_MAC_INSIDE:+address "$VETH_MAC_INSIDE"} netns "$1"
    # An address may carry `broadcast ...` and the like.
    # shellcheck disable=SC2086
    "${outer_ip[@]}" address add $VETH_IFADDR_OUTSIDE dev "$outside"
    "${outer_ip[@]}" link set "$outside" up
}

configure_veth_up_inside() {
    local outside inside outer_ip
    veth_names "$1"
    # shellcheck disable=SC2086
    ip address add $VETH_IFADDR_INSIDE dev "$inside"
    ip link set "$inside" up
    if [[ ${VETH_GATEWAY-} ]]; then
        ip route add default via "$VETH_GATEWAY" dev "$inside"
    fi
}

configure_veth_down_outside() {
    local outside inside outer_ip
    veth_names "$1"
    # Where it never came to a pair, the outer name may be somebody else's; what is inside is ours.
    if [[ -e /run/netns/$1 ]] && ip -netns "$1" link show "$inside" >/dev/null 2>&1; then
        ip -netns "$1" link delete "$inside"
    fi
}
