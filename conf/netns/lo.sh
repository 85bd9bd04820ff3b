# Type lo: the loopback device. kubens-netns(5)
#
# Takes no variables.

NO_CONFIG_REQUIRED=1

configure_lo_up_inside() {
    ip link set lo up
}

configure_lo_down_inside() {
    ip link set lo down
}
