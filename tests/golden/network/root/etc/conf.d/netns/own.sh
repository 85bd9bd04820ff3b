configure_own_up_inside() { ip link set lo up; }
